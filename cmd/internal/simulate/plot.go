package simulate

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/portsnare/portsnare/rotator/placement"
)

// Plot writes rate.svg and rotation.svg, and both as PNG, into a folder: the
// chance to be found against a scan's rate and against the time between
// rotations. Nothing is written before all is computed, and each file is complete
// or not there. It stops with the error of ctx when that ends.
func Plot(ctx context.Context, o Options, folder string) error {
	rate, err := ratePlot(ctx, o)
	if err != nil {
		return err
	}
	rotation, err := rotationPlot(ctx, o)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for name, p := range map[string]*plot.Plot{"rate": rate, "rotation": rotation} {
		for _, format := range []string{"svg", "png"} {
			if files[name+"."+format], err = render(p, format); err != nil {
				return fmt.Errorf("draw plot: %w", err)
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, image := range files {
		if err := renameio.WriteFile(filepath.Join(folder, name), image, 0o644); err != nil {
			return fmt.Errorf("write plot: %w", err)
		}
	}
	return nil
}

func render(p *plot.Plot, format string) ([]byte, error) {
	image, err := p.WriterTo(18*vg.Centimeter, 11*vg.Centimeter, format)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	_, err = image.WriteTo(&text)
	return text.Bytes(), err
}

// line is one curve with the intervals of its points.
type line struct {
	plotter.XYs
	plotter.YErrors
}

func (l *line) add(x float64, c Cell) {
	l.XYs = append(l.XYs, plotter.XY{X: x, Y: c.Share})
	l.YErrors = append(l.YErrors, struct{ Low, High float64 }{c.Share - c.Low, c.High - c.Share})
}

// ratePlot: one source, random order over all ports.
func ratePlot(ctx context.Context, o Options) (*plot.Plot, error) {
	p := newPlot("One source in random order over all ports", "new ports a second", "chance to reach a hidden port")
	logarithmic(p)
	hidden := Numbers(o.Terrain.Hidden)
	for i, place := range []Placement{Ours(o.Spec, o.Terrain), Fixed(o.Terrain), Uniform(o.Terrain)} {
		var curve line
		for exponent := -3.0; exponent <= 4; exponent += 0.25 {
			scan := Scan{Rate: math.Pow(10, exponent), Sources: 1}
			rng := rand.New(rand.NewPCG(o.Seed, uint64(5000+100*i)+uint64(4*exponent+40)))
			cell, err := Trials(ctx, rng, max(1, o.Runs/5), scan, place, hidden, o.Rules)
			if err != nil {
				return nil, err
			}
			curve.add(scan.Rate, cell)
		}
		if err := draw(p, i, place.Name, curve); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// rotationPlot: the learner, by how often traps move.
func rotationPlot(ctx context.Context, o Options) (*plot.Plot, error) {
	p := newPlot(fmt.Sprintf("An adversary who learns, %d addresses, %g ports a second", learnAddresses, learnRate), "seconds between rotations", "chance to reach a hidden port")
	logarithmic(p)
	for i, share := range []float64{0, 0.5, placement.MaxKeep} {
		var curve line
		for seconds := 75.0; seconds <= 1<<17; seconds *= 4 {
			cell, err := o.learner(ctx, Learning{Seconds: seconds, Addresses: learnAddresses}, share, max(1, o.Runs/20))
			if err != nil {
				return nil, err
			}
			curve.add(seconds, cell)
		}
		if err := draw(p, i, fmt.Sprintf("keep %g", share), curve); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Y.Min, p.Y.Max = 0, 1
	p.Add(plotter.NewGrid())
	return p
}

func logarithmic(p *plot.Plot) {
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Top = true
}

func draw(p *plot.Plot, i int, name string, curve line) error {
	l, err := plotter.NewLine(curve.XYs)
	if err != nil {
		return err
	}
	bars, err := plotter.NewYErrorBars(curve)
	if err != nil {
		return err
	}
	l.Color, bars.Color = plotutil.Color(i), plotutil.Color(i)
	l.Width = vg.Points(1.5)
	p.Add(l, bars)
	p.Legend.Add(name, l)
	return nil
}

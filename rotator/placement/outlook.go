package placement

// Outlook is what sets drawn by a spec are worth on a terrain, in closed form.
// Chances are those of reaching one given hidden port.
type Outlook struct {
	Spec    Spec    `json:"spec"`    // as the budget lets it be
	Firing  int     `json:"firing"`  // traps that can fire
	Exposed int     `json:"exposed"` // traps of all classes
	Random  float64 `json:"random"`  // one source, random order
	Nmap    float64 `json:"nmap"`    // one source, nmap's order
	Sweep   float64 `json:"sweep"`   // of 100 ports, from a random start around the port
	Stretch int     `json:"stretch"` // so many neighbouring ports hold a trap for each strike; 0: no guarantee
	Far     float64 `json:"forged"`  // packets to be forged for a victim's ban
	Near    float64 `json:"forged_near"`
	Bits    Entropy `json:"bits"`
	Guess   float64 `json:"guess"` // the best guess of as many ports as strikes makes a ban
}

// Outlook returns what s is worth.
func (s Spec) Outlook(t Terrain, strikes int) Outlook {
	hidden := len(t.hidden())
	fit := s.layout(t).Spec
	o := Outlook{
		Spec: fit, Firing: fit.Firing(hidden), Exposed: fit.Firing(hidden) + fit.Bait,
		Random: Random(fit.Firing(hidden), fit.Bait, strikes), Nmap: Armed(fit.Firing(hidden), fit.Bait, strikes),
		Stretch: s.Stretch(t, strikes), Bits: s.Entropy(t), Guess: s.Guess(t, strikes, strikes),
	}
	if hidden > 0 {
		o.Sweep = fit.Sweep(sweep, strikes)
	}
	o.Far, o.Near = fit.Forged(hidden, strikes)
	return o
}

// Alternatives returns the outlook of what Choose finds with a quarter, half,
// twice and four times the ports exposed, the packets to be forged being what
// they then are; nil where nothing is left to choose.
func (w Wish) Alternatives(t Terrain, strikes int) (others []Outlook) {
	if !w.Auto {
		return nil
	}
	for _, quarters := range []int{1, 2, 8, 16} {
		w := w
		w.Limits = Limits{Exposed: min(w.Limits.Exposed*quarters/4, maxPort), Forged: 1}
		if spec, err := w.On(t, strikes); err == nil {
			others = append(others, spec.Outlook(t, strikes))
		}
	}
	return others
}

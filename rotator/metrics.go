package rotator

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/portsnare/portsnare"
)

// Metrics are the numbers that a controller exports. One Metrics serves all
// groups of a controller.
type Metrics struct {
	generation  *prometheus.GaugeVec
	rotations   *prometheus.CounterVec
	failures    *prometheus.CounterVec
	repairs     *prometheus.CounterVec
	writes      *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	lastSuccess *prometheus.GaugeVec
	failing     *prometheus.GaugeVec
	stray       *prometheus.GaugeVec
	hits        *prometheus.CounterVec
	lost        *prometheus.CounterVec
	bans        *prometheus.CounterVec
	full        *prometheus.GaugeVec
	problems    prometheus.Gauge
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	make := promauto.With(reg)
	group := []string{"group"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return make.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &Metrics{
		generation: make.NewGaugeVec(prometheus.GaugeOpts{
			Name: "portsnare_generation", Help: "Generation of the group's trap set."}, group),
		rotations: counter("portsnare_rotations_total", "Rotations completed.", "group"),
		failures:  counter("portsnare_rotation_failures_total", "Rotations and repairs that failed, for whatever reason; each is tried again.", "group"),
		repairs:   counter("portsnare_drift_repairs_total", "Times a firewall had been changed by others and was repaired.", "group"),
		writes:    counter("portsnare_firewall_writes_total", "API calls that changed a firewall.", "group"),
		duration: make.NewHistogramVec(prometheus.HistogramOpts{
			Name: "portsnare_rotation_duration_seconds", Help: "Time from the first step of a rotation to its last, grace included.",
			Buckets: prometheus.ExponentialBuckets(0.5, 2, 10)}, group),
		lastSuccess: make.NewGaugeVec(prometheus.GaugeOpts{
			Name: "portsnare_last_success_timestamp_seconds", Help: "When the group last completed a rotation."}, group),
		failing: make.NewGaugeVec(prometheus.GaugeOpts{
			Name: "portsnare_failing", Help: "1 if the last rotation or repair of the group failed, else 0."}, group),
		stray: make.NewGaugeVec(prometheus.GaugeOpts{
			Name: "portsnare_stray_openings",
			Help: "Openings in the group's firewall with a mark of Portsnare that is not the group's, by mark; those of the rarest marks together under the empty one."},
			[]string{"group", "mark"}),
		hits: counter("portsnare_hits_total", "Hits on traps that hosts reported, by class of trap.", "host", "class"),
		lost: counter("portsnare_hits_lost_total", "Hits that hosts saw and had no room or time to report.", "host"),
		bans: counter("portsnare_bans_total", "Bans that hosts reported.", "host"),
		full: make.NewGaugeVec(prometheus.GaugeOpts{
			Name: "portsnare_full_tables", Help: "Tables of a host's kernel that are full, as of its last report: it serves, and counts no more in them."},
			[]string{"host"}),
		problems: make.NewGauge(prometheus.GaugeOpts{
			Name: "portsnare_controller_problems", Help: "Problems of the controller itself, such as a full disk; `portsnare status` names them."}),
	}
}

// Problems sets how many problems the controller itself has now.
func (m *Metrics) Problems(n int) { m.problems.Set(float64(n)) }

// Hit counts a reported hit.
func (m *Metrics) Hit(h portsnare.Hit) { m.hits.WithLabelValues(h.Host, string(h.Class)).Inc() }

// Lost counts hits that a host could not report.
func (m *Metrics) Lost(host string, hits int) { m.lost.WithLabelValues(host).Add(float64(hits)) }

// Ban counts a reported ban.
func (m *Metrics) Ban(b portsnare.Ban) { m.bans.WithLabelValues(b.Host).Inc() }

func (m *Metrics) reported(r portsnare.Report) {
	m.full.WithLabelValues(r.Host).Set(float64(len(r.Full)))
}

// begin shows a group before anything has happened to it.
func (m *Metrics) begin(group string) {
	for _, counter := range []*prometheus.CounterVec{m.rotations, m.failures, m.repairs, m.writes} {
		counter.WithLabelValues(group)
	}
}

// holds shows what is stored of a group.
func (m *Metrics) holds(group string, generation portsnare.Generation, rotated time.Time, failing bool) {
	m.generation.WithLabelValues(group).Set(float64(generation))
	if !rotated.IsZero() {
		m.lastSuccess.WithLabelValues(group).Set(float64(rotated.UnixMilli()) / 1000)
	}
	value := 0.0
	if failing {
		value = 1
	}
	m.failing.WithLabelValues(group).Set(value)
}

func (m *Metrics) rotated(group string, took time.Duration) {
	m.rotations.WithLabelValues(group).Inc()
	m.duration.WithLabelValues(group).Observe(took.Seconds())
}

func (m *Metrics) failed(group string) {
	m.failures.WithLabelValues(group).Inc()
	m.failing.WithLabelValues(group).Set(1)
}

func (m *Metrics) strayed(group string, strays []Stray) {
	m.stray.DeletePartialMatch(prometheus.Labels{"group": group})
	for _, s := range strays {
		m.stray.WithLabelValues(group, string(s.Mark)).Set(float64(s.Openings))
	}
}

func (m *Metrics) repaired(group string) { m.repairs.WithLabelValues(group).Inc() }

func (m *Metrics) wrote(group string, done portsnare.Done) {
	m.writes.WithLabelValues(group).Add(float64(done.Writes))
}

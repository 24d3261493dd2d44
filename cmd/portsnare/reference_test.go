package main

import (
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portsnare/portsnare/cmd/internal/agentcmd"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/cmd/internal/reference"
	"github.com/portsnare/portsnare/rotator"
)

func TestReference(t *testing.T) {
	sections := []struct{ name, want string }{
		{"portsnare", reference.Commands(newRoot())},
		{"portsnare-agent", reference.Commands(agentcmd.New())},
		{"configuration", reference.Configuration(config.Keys())},
		{"metrics", metricTable(t)},
	}
	for _, s := range sections {
		if err := reference.Sync("../../docs/reference.md", s.name, s.want, *update); err != nil {
			t.Error(err)
		}
	}
}

var described = regexp.MustCompile(`fqName: "(.*?)", help: "(.*?)", .*variableLabels: \{(.*?)\}`)

func metricTable(t *testing.T) string {
	t.Helper()
	table := reference.NewTable("Metric", "Labels", "Meaning")
	rotator.NewMetrics(collect(func(c prometheus.Collector) {
		descs := make(chan *prometheus.Desc, 8)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			fields := described.FindStringSubmatch(d.String())
			if fields == nil {
				t.Fatalf("cannot read %s", d)
			}
			table.Row("`"+fields[1]+"`", fields[3], fields[2])
		}
	}))
	return table.String()
}

// collect is a registerer that shows each collector to a function.
type collect func(prometheus.Collector)

func (f collect) Register(c prometheus.Collector) error { f(c); return nil }
func (f collect) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		f(c)
	}
}
func (f collect) Unregister(prometheus.Collector) bool { return false }

//go:build linux

package netlab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPortRanges(t *testing.T) {
	tests := []struct {
		ports []uint16
		want  string
	}{
		{nil, ""},
		{[]uint16{22}, "22-22"},
		{[]uint16{81, 22, 80, 65535, 82}, "22-22,80-82,65535-65535"},
		{Descending(65535, 1), "1-65535"},
	}
	for _, tt := range tests {
		if got := portRanges(tt.ports); got != tt.want {
			t.Errorf("portRanges(%v) = %q, want %q", tt.ports, got, tt.want)
		}
	}
}

func TestParseReports(t *testing.T) {
	const nmap = `<?xml version="1.0"?><!DOCTYPE nmaprun><nmaprun><host><ports>
<extraports state="closed" count="69"></extraports>
<port protocol="tcp" portid="22"><state state="open" reason="syn-ack"/><service name="ssh"/></port>
<port protocol="tcp" portid="23"><state state="filtered"/></port>
</ports></host></nmaprun>`
	const masscan = "#masscan\nopen tcp 80 203.0.113.10 1795295051\nopen tcp 22 203.0.113.10 1795295051\nopen tcp 80 203.0.113.10 1795295052\n# end\n"
	tests := []struct {
		name  string
		parse func([]byte) ([]uint16, error)
		in    string
		want  []uint16
		fails bool
	}{
		{"nmap", parseNmap, nmap, []uint16{22}, false},
		{"nmap without a report", parseNmap, "", nil, true},
		{"masscan", parseMasscan, masscan, []uint16{22, 80}, false},
		{"masscan found nothing", parseMasscan, "", nil, false},
		{"masscan with a port too high", parseMasscan, "open tcp 65536 203.0.113.10 1\n", nil, true},
	}
	for _, tt := range tests {
		got, err := tt.parse([]byte(tt.in))
		if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != tt.fails {
			t.Errorf("%s: error %v, -want +got:\n%s", tt.name, err, diff)
		}
	}
}

package ipset

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// noon is the time of all tests that need one.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func portSet(t testing.TB, s string) portsnare.PortSet {
	t.Helper()
	set, err := portsnare.ParsePortSet(s)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func port(t testing.TB, s string) portsnare.Port {
	t.Helper()
	p, err := portsnare.ParsePort(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whether a host forwards packets of each family.
var alone, router = [len(families)]bool{}, [len(families)]bool{true, true}

// sample is an order with something of everything.
func sample(t testing.TB) kernel.State {
	return kernel.State{Order: portsnare.Order{
		Host: "web-1", Group: "web", Generation: 7,
		Traps: portsnare.Traps{
			Neighbours: portSet(t, "20-21/tcp,24/tcp"),
			Bait:       portSet(t, "23/tcp,3306/tcp"),
			Secret:     portSet(t, "8000-8009/tcp,40001/tcp,5353/udp"),
		},
		Protected:     portSet(t, "22/tcp,443/tcp,443/udp"),
		Public:        portSet(t, "443/tcp,443/udp"),
		Policy:        portsnare.DefaultPolicy(),
		CloudFirewall: true,
		Allow: []netip.Prefix{
			netip.MustParsePrefix("203.0.113.1/32"),
			netip.MustParsePrefix("::ffff:192.0.2.128/121"),
			netip.MustParsePrefix("2001:db8:a::7/48"),
		},
	},
		Bans: []portsnare.Ban{
			{Source: netip.MustParsePrefix("198.51.100.7/32"), Until: noon.Add(90 * time.Second)},
			{Source: netip.MustParsePrefix("2001:db8:51:5::/64"), Until: noon.Add(time.Hour)},
			{Source: netip.MustParsePrefix("198.51.100.8/32"), Until: noon},                   // is over
			{Source: netip.MustParsePrefix("192.0.2.200/32"), Until: noon.Add(time.Hour)},     // is allowed
			{Source: netip.MustParsePrefix("198.51.100.9/32"), Until: noon.AddDate(10, 0, 0)}, // longer than the kernel counts
		},
		Friends: []portsnare.Friend{
			{Source: netip.MustParsePrefix("198.51.100.7/32"), Port: port(t, "22/tcp"), Until: noon.Add(portsnare.FriendTime)},
			{Source: netip.MustParsePrefix("2001:db8:51:5::/64"), Port: port(t, "443/tcp"), Until: noon.Add(90 * time.Second)},
			{Source: netip.MustParsePrefix("198.51.100.8/32"), Port: port(t, "22/tcp"), Until: noon}, // is none any more
		},
	}
}

// bare is the state of a kernel in which nothing of ours stands.
func bare() state {
	return state{
		tables:   [len(families)]map[string]tableState{{}, {}},
		missing:  portsnare.PortSetOf(numberOf(0), numberOf(1), numberOf(9)),
		reserved: portsnare.PortSetOf(portsnare.Port{Protocol: portsnare.TCP, Number: 8005}),
	}
}

// after is the state that a program leads to.
func (p program) after(have state) state {
	var s script
	p.reserve(have, &s)
	p.claim(have)
	next := state{
		sets: map[string]bool{}, contents: map[string]content{}, bans: map[netip.Prefix]ban{}, known: kernel.Known{Until: map[kernel.Pair]time.Time{}},
		reserved: have.reserved,
	}
	if s.reserved != nil {
		next.reserved = *s.reserved
	}
	for _, set := range p.sets {
		next.sets[set.name] = true
		next.contents[set.name] = set.content
	}
	for i, tables := range p.tables {
		next.tables[i] = map[string]tableState{}
		for _, t := range tables {
			next.tables[i][t.name] = t.state()
		}
	}
	for _, b := range p.bans {
		if b.Until.After(noon) && !kernel.Covered(b.Source, p.allow) {
			next.bans[b.Source] = ban{until: b.Until}
		}
	}
	for _, f := range p.friends {
		next.known.Until[kernel.PairOf(f)] = f.Until
	}
	return next
}

// TestScripts compares what is run with testdata, in the languages of the
// programs: each case is one directory.
func TestScripts(t *testing.T) {
	opts := New(Options{}).opts
	first := sample(t)
	second := sample(t) // rotated: 24 becomes protected, 23 fires, 443/tcp is given up
	second.Generation = 8
	second.Traps = portsnare.Traps{
		Neighbours: portSet(t, "20/tcp,23/tcp"),
		Bait:       portSet(t, "3306/tcp,5900/tcp"),
		Secret:     portSet(t, "443/tcp,9000-9003/tcp,8006/tcp"),
	}
	second.Protected, second.Public = portSet(t, "22/tcp,24/tcp,443/udp"), portsnare.PortSet{}
	second.Allow = first.Allow[:2]
	strikes := func(k int, cloud bool) kernel.State {
		o := sample(t)
		o.Policy.Strikes, o.CloudFirewall = k, cloud
		return o
	}
	guarded := func(alarm bool) kernel.State {
		o := sample(t)
		o.Alarm, o.Policy.Delay = alarm, !alarm
		return o
	}
	armed := func(o kernel.State) state { return render(o, opts, alone).after(bare()) }

	tests := []struct {
		name string
		have state
		want kernel.State
		host [len(families)]bool
	}{
		{"first", bare(), first, alone},
		{"rotate", armed(first), second, alone},
		{"strikes-1", bare(), strikes(1, true), alone},
		{"strikes-8-no-cloud-router", bare(), strikes(8, false), router},
		{"strikes-3-to-2", armed(first), strikes(2, true), alone},
		{"alarm", armed(first), guarded(true), alone},
		{"delay", armed(first), guarded(false), alone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			golden(t, test.name, changes(test.have, render(test.want, opts, test.host), noon))
		})
	}
	t.Run("flush", func(t *testing.T) { golden(t, "flush", removal(armed(first))) })
}

// golden compares the parts of a script with the files of a directory.
func golden(t *testing.T, name string, s script) {
	t.Helper()
	parts := map[string]string{
		"1-prepare.ipset": s.prepare, "2-rules.iptables": s.rules[0], "3-rules.ip6tables": s.rules[1],
		"4-arm.ipset": s.arm, "5-reserved.sysctl": "", "6-tidy.ipset": s.release + s.tidy, "7-unmake": "", "8-destroy.ipset": s.destroy + s.records,
	}
	for place := range s.unmake.All() {
		c := places[place.Number-1]
		parts["7-unmake"] += fmt.Sprintln(c.Family, c.Table, c.Name)
	}
	if s.reserved != nil {
		parts["5-reserved.sysctl"] = localports.Format(*s.reserved)
	}
	for file, got := range parts {
		path := filepath.Join("testdata", name, file)
		if *update {
			write(t, path, got)
		}
		want, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// write writes a golden file; an empty part has none.
func write(t *testing.T, path, text string) {
	t.Helper()
	if text == "" {
		os.Remove(path)
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutIPv6: a kernel that was told to do without IPv6 has no tables of it.
func TestWithoutIPv6(t *testing.T) {
	have := bare()
	have.tables[1] = nil
	if s := changes(have, render(sample(t), New(Options{}).opts, alone), noon); s.rules[0] == "" || s.rules[1] != "" {
		t.Errorf("rules of IPv4: %d bytes, of IPv6: %d bytes; want some and none", len(s.rules[0]), len(s.rules[1]))
	}
}

func TestAllowedPrefixes(t *testing.T) {
	tests := []struct{ give, want4, want6 string }{
		{"192.0.2.7/32", "192.0.2.7", ""},
		{"192.0.2.7/24", "192.0.2.0/24", ""},
		{"0.0.0.0/0", "0.0.0.0/1 128.0.0.0/1", ""}, // ipset knows no /0
		{"::/0", "", "8000::/1 ::/1"},
		{"2001:db8::1/128", "", "2001:db8::1"},
		{"::ffff:192.0.2.0/120", "192.0.2.0/24", ""},
		{"::ffff:0.0.0.0/96", "0.0.0.0/1 128.0.0.0/1", ""},
	}
	for _, test := range tests {
		all := kernel.Allowed([]netip.Prefix{netip.MustParsePrefix(test.give)})
		for i, want := range []string{test.want4, test.want6} {
			if got := strings.Join(families[i].entries(all), " "); got != want {
				t.Errorf("%s in IPv%s: %q, want %q", test.give, families[i].digit, got, want)
			}
		}
	}
}

func TestNothingToDo(t *testing.T) {
	opts := New(Options{}).opts
	want := render(sample(t), opts, alone)
	if s := changes(want.after(bare()), want, noon); !s.empty() {
		t.Errorf("script from the wanted state: %+v, want none", s)
	}
	if s := removal(bare()); !s.empty() {
		t.Errorf("removal of nothing: %+v, want none", s)
	}
}

package nftables

import (
	"flag"
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

func tcp(number uint16) portsnare.Port {
	return portsnare.Port{Protocol: portsnare.TCP, Number: number}
}

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
			{Source: netip.MustParsePrefix("198.51.100.7/32"), Port: tcp(22), Until: noon.Add(time.Hour)},
			{Source: netip.MustParsePrefix("2001:db8:51:5::/64"), Port: tcp(443), Until: noon.Add(portsnare.FriendTime)},
			{Source: netip.MustParsePrefix("198.51.100.8/32"), Port: tcp(22), Until: noon}, // is one no more
		},
	}
}

// bare is the state of a kernel in which nothing of ours stands.
func bare() state {
	return state{
		reserved: portsnare.PortSetOf(portsnare.Port{Protocol: portsnare.TCP, Number: 8005}),
	}
}

// after is the state that a table leads to.
func (t table) after(have state) state {
	list, _ := t.reserve(have)
	next := t.recalled()
	next.reserved = have.reserved
	if list != nil {
		next.reserved = *list
	}
	for _, b := range t.bans {
		if b.Until.After(noon) && !kernel.Covered(b.Source, t.allow) {
			next.bans[b.Source] = banned{until: b.Until, packets: 3, bytes: 180}
		}
	}
	for _, f := range t.friends {
		if f.Until.After(noon) {
			next.known.Until[kernel.PairOf(f)] = f.Until
		}
	}
	return next
}

// TestScripts compares what is run with testdata, in the language of nft:
// each case is one directory.
func TestScripts(t *testing.T) {
	opts := New(Options{}).opts
	forwards := [len(families)]bool{false, true}
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
	alarm, delay := sample(t), sample(t)
	alarm.Alarm, alarm.Policy.Delay = true, true
	delay.Policy.Delay = true
	longer := sample(t) // the second ban is prolonged, the first lifted, a friend kept for longer
	longer.Bans[1].Until, longer.Friends[0].Until = noon.Add(2*time.Hour), noon.Add(3*time.Hour)
	longer.Allow = append(longer.Allow, netip.MustParsePrefix("198.51.100.0/29"))
	armed := func(o kernel.State) state { return render(o, opts, forwards).after(bare()) }
	other := armed(first) // made by another version of ours
	other.sets["hit4"] = "01234567"

	tests := []struct {
		name string
		have state
		want kernel.State
	}{
		{"first", bare(), first},
		{"rotate", armed(first), second},
		{"alarm", armed(first), alarm},
		{"delay", armed(first), delay},
		{"longer", armed(first), longer},
		{"another-version", other, second},
		{"strikes-1", bare(), strikes(1, true)},
		{"strikes-8-no-cloud", bare(), strikes(8, false)},
		{"strikes-3-to-2", armed(first), strikes(2, true)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			golden(t, test.name, changes(test.have, render(test.want, opts, forwards), noon))
		})
	}
	t.Run("flush", func(t *testing.T) { golden(t, "flush", removal(armed(first))) })
}

// golden compares the parts of a script with the files of a directory.
func golden(t *testing.T, name string, s script) {
	t.Helper()
	parts := map[string]string{"1-arm.nft": s.arm, "2-reserved.sysctl": "", "3-settle.nft": s.settle}
	if s.reserved != nil {
		parts["2-reserved.sysctl"] = localports.Format(*s.reserved)
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

// TestRoom: what has no room would have the whole transaction refused, so the
// bans and friends that end first stay out, and what has no room is said.
func TestRoom(t *testing.T) {
	var order kernel.State
	order.Policy, order.Public = portsnare.DefaultPolicy(), portSet(t, "443/tcp")
	for n := range 2 * kernel.MaxBans {
		source := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
		until := noon.Add(time.Hour + time.Duration(n)*time.Second)
		order.Bans = append(order.Bans, portsnare.Ban{Source: source, Until: until})
		order.Friends = append(order.Friends, portsnare.Friend{Source: source, Port: tcp(443), Until: until})
	}
	want := render(order, New(Options{}).opts, [len(families)]bool{})
	have := want.after(bare())
	have.bans, have.known.Until = map[netip.Prefix]banned{}, map[kernel.Pair]time.Time{}
	for _, ban := range order.Bans[:1000] {
		have.bans[ban.Source] = banned{until: ban.Until}
	}
	bans, left := want.ban(have, false, noon)
	count := map[string]int{"left": len(left)}
	for _, e := range append(bans, want.befriend(have, false, noon)...) {
		count[e.set]++
		if least := noon.Add(time.Hour + kernel.MaxBans*time.Second); e.until.Before(least) {
			t.Fatalf("%s in %s until %s, want those that last the longest", e.key, e.set, e.until)
		}
	}
	wanted := map[string]int{"ban4": kernel.MaxBans - 1000, "left": kernel.MaxBans, "crowd4": kernel.MaxCrowd, "friend4": kernel.MaxCrowd}
	if diff := cmp.Diff(wanted, count); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestAllowedPrefixes(t *testing.T) {
	tests := []struct{ give, want string }{
		{"192.0.2.7/32", "192.0.2.7/32"},
		{"192.0.2.7/24", "192.0.2.0/24"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"2001:db8::1/128", "2001:db8::1/128"},
		{"::ffff:192.0.2.0/120", "192.0.2.0/24"},
		{"::ffff:0.0.0.0/96", "0.0.0.0/0"},
		{"192.0.2.7/32 192.0.2.0/24 192.0.2.7/32 192.0.2.0/25", "192.0.2.0/24"}, // nft refuses overlaps
		{"2001:db8::/48 192.0.2.0/24 ::/0 198.51.100.0/24", "192.0.2.0/24 198.51.100.0/24 ::/0"},
	}
	for _, test := range tests {
		var prefixes []netip.Prefix
		for field := range strings.FieldsSeq(test.give) {
			prefixes = append(prefixes, netip.MustParsePrefix(field))
		}
		if got := strings.Join(texts(kernel.Allowed(prefixes)), " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.give, got, test.want)
		}
	}
}

func TestNothingToDo(t *testing.T) {
	opts := New(Options{}).opts
	want := render(sample(t), opts, [len(families)]bool{})
	if s := changes(want.after(bare()), want, noon); !s.empty() {
		t.Errorf("script from the wanted state: %+v, want none", s)
	}
	if s := removal(bare()); !s.empty() {
		t.Errorf("removal of nothing: %+v, want none", s)
	}
}

package portsnare

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

func sampleOrder(t testing.TB) Order {
	return Order{
		Host: "web-1", Group: "web", Generation: 7,
		Traps:         Traps{Neighbours: mustSet(t, "20/tcp,25/tcp"), Bait: mustSet(t, "80/tcp"), Secret: mustSet(t, "40000-40020/tcp")},
		Protected:     mustSet(t, "22/tcp,443/tcp"),
		Public:        mustSet(t, "443/tcp"),
		Policy:        DefaultPolicy(),
		CloudFirewall: true,
		Allow:         []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
}

func TestOrderSurvivesTheLink(t *testing.T) {
	want := sampleOrder(t)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Order
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Digest() != want.Digest() {
		t.Errorf("digest %s became %s through %s", want.Digest(), got.Digest(), text)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestOrderDigest(t *testing.T) {
	base := sampleOrder(t)
	for name, change := range map[string]func(*Order){
		"host":       func(o *Order) { o.Host = "web-2" },
		"generation": func(o *Order) { o.Generation++ },
		"trap":       func(o *Order) { o.Traps.Secret = mustSet(t, "40000/tcp") },
		"policy":     func(o *Order) { o.Policy.Strikes++ },
		"allow":      func(o *Order) { o.Allow = nil },
	} {
		changed := sampleOrder(t)
		change(&changed)
		if changed.Digest() == base.Digest() {
			t.Errorf("another %s does not change the digest", name)
		}
	}
	named := base
	named.Serial, named.TrapsSerial = "order-1", "traps-1"
	if named.Digest() != base.Digest() {
		t.Error("a serial changes the digest")
	}
}

func TestOrderValidate(t *testing.T) {
	for _, tt := range []struct {
		want   string
		change func(*Order)
	}{
		{`order for host: name "": want 1 to 63 of a-z, 0-9 and hyphens, no hyphen at an end`, func(o *Order) { o.Host = "" }},
		{"order for web-1: 22/tcp is both trap and protected", func(o *Order) { o.Traps.Secret = mustSet(t, "22/tcp") }},
		{"order for web-1: 80/tcp is bait and not bait", func(o *Order) { o.Traps.Secret = mustSet(t, "80/tcp") }},
		{"order for web-1: 8443/tcp is public but not protected", func(o *Order) { o.Public = mustSet(t, "8443/tcp") }},
		{"order for web-1: allow entry 1 is no prefix", func(o *Order) { o.Allow = []netip.Prefix{{}} }},
		{"order for web-1: strikes 9: want 1 to 8", func(o *Order) { o.Policy.Strikes = 9 }},
		{"order for web-1: window 1.5s: want whole seconds, 1s to 596h31m23s", func(o *Order) { o.Policy.Window = 1500 * time.Millisecond }},
		{"order for web-1: longest ban 1m0s: want at least the first, 10m0s", func(o *Order) { o.Policy.BanMax = time.Minute }},
	} {
		o := sampleOrder(t)
		tt.change(&o)
		if err := o.Validate(); err == nil || err.Error() != tt.want || KindOf(err) != Invalid {
			t.Errorf("Validate = %v (%q), want %s", err, KindOf(err), tt.want)
		}
	}
}

func TestBanTime(t *testing.T) {
	p := Policy{BanMin: 10 * time.Minute, BanMax: time.Hour}
	for n, want := range map[int]time.Duration{0: 10 * time.Minute, 1: 10 * time.Minute, 2: 20 * time.Minute,
		3: 40 * time.Minute, 4: time.Hour, 1 << 30: time.Hour} {
		if got := p.BanTime(n); got != want {
			t.Errorf("BanTime(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestBanPrefix(t *testing.T) {
	for addr, want := range map[string]string{
		"198.51.100.7":        "198.51.100.7/32",
		"::ffff:198.51.100.7": "198.51.100.7/32",
		"2001:db8:1:2:3::4":   "2001:db8:1:2::/64",
		"fe80::1%eth0":        "fe80::/64",
	} {
		if got := BanPrefix(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("BanPrefix(%s) = %s, want %s", addr, got, want)
		}
	}
}

func TestBanExplainsItself(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ban := Ban{
		Host: "web-1", Source: netip.MustParsePrefix("198.51.100.7/32"), Since: at, Until: at.Add(10 * time.Minute), Count: 1,
		Hits: []Hit{{Port: Port{TCP, 40007}, Class: Secret, Generation: 7, At: at}},
	}
	want := "198.51.100.7/32 banned on web-1 from 2026-03-01T12:00:00Z until 2026-03-01T12:10:00Z: " +
		"40007/tcp (secret, generation 7) at 2026-03-01T12:00:00Z"
	if got := ban.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestReportWatches: what a rotation waits for is the trap part alone, but of the
// first agents, which know the whole order only.
func TestReportWatches(t *testing.T) {
	order := Order{Host: "web-1", Serial: "order-2", TrapsSerial: "traps-1"}
	for _, tt := range []struct {
		name             string
		report           Report
		watches, carries bool
	}{
		{"nothing armed", Report{}, false, false},
		{"armed", Report{Armed: "order-2", ArmedTraps: "traps-1"}, true, true},
		{"the same traps in an older order", Report{Armed: "order-1", ArmedTraps: "traps-1"}, true, false},
		{"other traps", Report{Armed: "order-0", ArmedTraps: "traps-0"}, false, false},
		{"a first agent that has it", Report{Armed: "order-2"}, true, true},
		{"a first agent that has another", Report{Armed: "order-1"}, false, false},
	} {
		if got := tt.report.Watches(order); got != tt.watches {
			t.Errorf("%s: watches %v, want %v", tt.name, got, tt.watches)
		}
		if got := tt.report.Carries(order); got != tt.carries {
			t.Errorf("%s: carries %v, want %v", tt.name, got, tt.carries)
		}
	}
	if (Report{}).Carries(Order{}) || (Report{}).Watches(Order{}) {
		t.Error("nothing armed counts as an order without a serial")
	}
}

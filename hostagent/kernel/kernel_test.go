package kernel

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

func TestCovered(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:0:1::7/128")}
	for source, want := range map[string]bool{
		"198.51.100.7/32":     true,
		"198.51.101.7/32":     false,
		"2001:db8:0:1::/64":   false, // of which one address alone is allowed
		"2001:db8:0:1::7/128": true,
	} {
		if got := Covered(netip.MustParsePrefix(source), allow); got != want {
			t.Errorf("Covered(%s) = %t, want %t", source, got, want)
		}
	}
}

func TestHeldUntil(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if got := HeldUntil(now.Add(time.Hour), now); !got.Equal(now.Add(time.Hour)) {
		t.Errorf("an hour: %s", got)
	}
	if got := HeldUntil(now.Add(portsnare.MaxTimeout+time.Second), now); !got.Equal(now.Add(portsnare.MaxTimeout / 2)) {
		t.Errorf("longer than the kernel counts: %s", got)
	}
}

func TestStateValidate(t *testing.T) {
	valid := portsnare.Order{Host: "web-1", Policy: portsnare.DefaultPolicy()}
	good := netip.MustParsePrefix("198.51.100.2/32")
	for _, tt := range []struct {
		want  string
		state State
	}{
		{`order for host: name "": want 1 to 63 of a-z, 0-9 and hyphens, no hyphen at an end`,
			State{Order: portsnare.Order{Policy: portsnare.DefaultPolicy()}}},
		{"ban: source 198.51.100.0/24: want an IPv4 address or an IPv6 /64",
			State{Order: valid, Bans: []portsnare.Ban{{Source: good}, {Source: netip.MustParsePrefix("198.51.100.0/24")}}}},
		{"ban: source invalid Prefix: want an IPv4 address or an IPv6 /64",
			State{Order: valid, Bans: []portsnare.Ban{{}}}},
		{"friend: source 2001:db8::1/128: want an IPv4 address or an IPv6 /64",
			State{Order: valid, Friends: []portsnare.Friend{{Source: netip.MustParsePrefix("2001:db8::1/128")}}}},
		{"friend 198.51.100.2/32 of 53/udp: want a TCP port, where a conversation cannot be forged",
			State{Order: valid, Friends: []portsnare.Friend{{Source: good, Port: portsnare.Port{Protocol: portsnare.UDP, Number: 53}}}}},
	} {
		if err := tt.state.Validate(); err == nil || err.Error() != tt.want || !errors.Is(err, portsnare.Invalid) {
			t.Errorf("Validate = %v, want %s", err, tt.want)
		}
	}
	if err := (State{Order: valid, Bans: []portsnare.Ban{{Source: good}}}).Validate(); err != nil {
		t.Error(err)
	}
}

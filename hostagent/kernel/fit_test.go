package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func source4(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(n>>16), byte(n >> 8), byte(n)}), 32)
}

func source6(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 4: byte(n >> 16), 5: byte(n >> 8), 6: byte(n)}), 64)
}

// show returns bans as "SOURCE MINUTES".
func show(bans []portsnare.Ban) (all []string) {
	for _, b := range bans {
		all = append(all, fmt.Sprintf("%s %.0f", b.Source.Addr(), b.Until.Sub(noon).Minutes()))
	}
	return all
}

func minutes(source netip.Prefix, n int) portsnare.Ban {
	return portsnare.Ban{Source: source, Until: noon.Add(time.Duration(n) * time.Minute)}
}

func TestFitBans(t *testing.T) {
	stand := map[netip.Prefix]time.Time{source4(1): noon.Add(10 * time.Minute), source6(1): noon.Add(10 * time.Minute)}
	allow := []netip.Prefix{source4(9)}
	wanted := []portsnare.Ban{
		minutes(source4(1), 5),  // stands for longer
		minutes(source6(1), 20), // is prolonged
		minutes(source4(2), 5),
		minutes(source4(3), 7),
		minutes(source4(3), 6), // twice
		minutes(source4(4), 0), // is over
		minutes(source4(9), 9), // is allowed
	}
	for _, tt := range []struct {
		room      int
		fit, left []string
	}{
		{MaxBans, []string{"2001:db8:0:100:: 20", "198.18.0.3 7", "198.18.0.2 5"}, nil},
		{2, []string{"2001:db8:0:100:: 20", "198.18.0.3 7"}, []string{"198.18.0.2 5"}},
		{1, []string{"2001:db8:0:100:: 20"}, []string{"198.18.0.3 7", "198.18.0.2 5"}},
		{0, []string{"2001:db8:0:100:: 20"}, []string{"198.18.0.3 7", "198.18.0.2 5"}},
	} {
		fit, left := FitBans(wanted, stand, allow, noon, MaxBans-tt.room)
		if diff := cmp.Diff(tt.fit, show(fit)); diff != "" {
			t.Errorf("room for %d: fit (-want +got):\n%s", tt.room, diff)
		}
		if diff := cmp.Diff(tt.left, show(left)); diff != "" {
			t.Errorf("room for %d: left (-want +got):\n%s", tt.room, diff)
		}
	}
}

func TestImpose(t *testing.T) {
	stand := map[netip.Prefix]time.Time{source4(1): noon.Add(10 * time.Minute)}
	bans := []portsnare.Ban{
		minutes(source4(1), 5), // is shortened, also without room
		minutes(source4(2), 6),
		minutes(source4(2), 4), // the last counts
		minutes(source4(3), 0),
	}
	fit, left := Impose(bans, stand, nil, noon, 0)
	if diff := cmp.Diff([]string{"198.18.0.1 5", "198.18.0.2 4"}, show(fit)); diff != "" || len(left) > 0 {
		t.Errorf("fit (-want +got):\n%s\nleft %v", diff, left)
	}
	fit, left = Impose(bans, stand, nil, noon, MaxBans)
	if diff := cmp.Diff([]string{"198.18.0.1 5"}, show(fit)); diff != "" || !slices.Equal(show(left), []string{"198.18.0.2 4"}) {
		t.Errorf("without room: fit (-want +got):\n%s\nleft %v", diff, show(left))
	}
}

func TestNoRoom(t *testing.T) {
	if err := NoRoom(nil); err != nil {
		t.Errorf("NoRoom(none) = %v", err)
	}
	err := NoRoom([]portsnare.Ban{minutes(source4(7), 1), minutes(source4(8), 1), minutes(source6(1), 1)})
	want := "ban 198.18.0.7/32: the kernel holds 65536 bans of each family and has no room for 2 of IPv4 and 1 of IPv6"
	if !errors.Is(err, portsnare.LimitExceeded) || err.Error() != want || portsnare.HintOf(err) == "" {
		t.Errorf("NoRoom = %v, want %s", err, want)
	}
}

// TestFitFriends: friends that end first stay out, those of public ports leave room
// for the others, and one family leaves the other alone.
func TestFitFriends(t *testing.T) {
	ssh, web := portsnare.Port{Protocol: portsnare.TCP, Number: 22}, portsnare.Port{Protocol: portsnare.TCP, Number: 443}
	public := portsnare.PortSetOf(web)
	friend := func(source netip.Prefix, port portsnare.Port, min int) portsnare.Friend {
		return portsnare.Friend{Source: source, Port: port, Until: noon.Add(time.Duration(min) * time.Minute)}
	}
	known := Known{
		Until: map[Pair]time.Time{{source4(1), ssh}: noon.Add(time.Hour), {source4(2), web}: noon.Add(time.Minute)},
		Crowd: [Families]int{1, 0},
	}
	wanted := []portsnare.Friend{
		friend(source4(1), ssh, 30), friend(source4(2), web, 30), friend(source4(3), web, 40), friend(source4(4), ssh, 20),
		friend(source4(4), ssh, 20), friend(source6(1), web, 10), friend(source4(5), ssh, 0),
	}
	show := func(friends []portsnare.Friend) (all []string) {
		for _, f := range friends {
			all = append(all, f.Source.Addr().String()+" "+f.Port.String())
		}
		return all
	}
	all := []string{"198.18.0.3 443/tcp", "198.18.0.2 443/tcp", "198.18.0.4 22/tcp", "2001:db8:0:100:: 443/tcp"}
	if diff := cmp.Diff(all, show(FitFriends(wanted, known, public, noon, 0))); diff != "" {
		t.Errorf("with room (-want +got):\n%s", diff)
	}
	known.Crowd[IPv4] = MaxCrowd
	if diff := cmp.Diff(slices.Delete(slices.Clone(all), 0, 1), show(FitFriends(wanted, known, public, noon, 0))); diff != "" {
		t.Errorf("with a full crowd (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"198.18.0.2 443/tcp"}, show(FitFriends(wanted, known, public, noon, MaxFriends))); diff != "" {
		t.Errorf("without room (-want +got):\n%s", diff)
	}
}

// TestMissing names what no rule has that loads.
func TestMissing(t *testing.T) {
	rules := []string{"a b", "a", "b c", "c d", "c d"}
	tries := 0
	lacking := func(words ...string) func(string) error {
		tries = 0
		return func(rule string) error {
			tries++
			for _, w := range words {
				if strings.Contains(rule, w) {
					return errors.New("no " + w)
				}
			}
			return nil
		}
	}
	for _, tt := range []struct {
		lacking, want []string
	}{
		{nil, nil},
		{[]string{"c"}, []string{"c", "d"}}, // that d works nobody has seen
		{[]string{"d"}, []string{"d"}},
		{[]string{"a b"}, []string{"a b"}}, // a works, and so does b
	} {
		got, cause := Missing(rules, strings.Fields, lacking(tt.lacking...))
		if diff := cmp.Diff(tt.want, got); diff != "" || (cause == nil) != (tt.want == nil) {
			t.Errorf("lacking %v: cause %v (-want +got):\n%s", tt.lacking, cause, diff)
		}
		if tries != 4 {
			t.Errorf("%d tries, want each kind of rule once", tries)
		}
	}
}

func TestStanding(t *testing.T) {
	ports := func(text string) portsnare.PortSet {
		set, err := portsnare.ParsePortSet(text)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	order := portsnare.Order{
		Traps:     portsnare.Traps{Secret: ports("1001-1009/tcp,7/udp"), Bait: ports("23/tcp")},
		Protected: ports("22/tcp,443/tcp,53/udp"), Public: ports("443/tcp"),
	}
	s := Standing{Armed: true, Traps: ports("23/tcp,1001-1009/tcp,7/udp"), Bait: ports("23/tcp"), Hidden: ports("22/tcp"), Public: ports("443/tcp")}
	if !s.Carries(order) || s.Firing().Len() != 9 || s.Protected().Len() != 2 {
		t.Errorf("%+v does not carry its order", s)
	}
	for name, spoil := range map[string]func(*Standing){
		"not armed":    func(s *Standing) { s.Armed = false },
		"a trap lost":  func(s *Standing) { s.Traps = ports("23/tcp,1001-1008/tcp,7/udp") },
		"bait lost":    func(s *Standing) { s.Bait = portsnare.PortSet{} },
		"hidden added": func(s *Standing) { s.Hidden = ports("22/tcp,25/tcp") },
		"public lost":  func(s *Standing) { s.Public = portsnare.PortSet{} },
	} {
		spoilt := s
		spoil(&spoilt)
		if spoilt.Carries(order) {
			t.Errorf("%s: %+v carries the order", name, spoilt)
		}
	}
}

// TestWithRoom: a change for which a table is too full is tried with less, and no
// other is tried again.
func TestWithRoom(t *testing.T) {
	for _, tt := range []struct {
		room  int // that is free in the kernel
		other error
		tries []int
		fails bool
	}{
		{room: 5000, tries: []int{0}},
		{room: 4000, tries: []int{0, 1024}},
		{room: 0, tries: []int{0, 1024, MaxFriends}},
		{room: -1, tries: []int{0, 1024, MaxFriends}, fails: true},
		{room: 5000, other: portsnare.Transient, tries: []int{0}, fails: true},
	} {
		var tries []int
		err := WithRoom(func(spare int) error {
			tries = append(tries, spare)
			if max(0, 5000-spare) > tt.room {
				return fmt.Errorf("full: %w", portsnare.LimitExceeded)
			}
			return tt.other
		})
		if !slices.Equal(tries, tt.tries) || (err != nil) != tt.fails {
			t.Errorf("room for %d: tries %v, %v; want %v", tt.room, tries, err, tt.tries)
		}
	}
}

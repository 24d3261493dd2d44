package portsnare

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func mustSet(t testing.TB, s string) PortSet {
	t.Helper()
	set, err := ParsePortSet(s)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestPortSetNormalForm(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{" ", ""},
		{"22/tcp", "22/tcp"},
		{"24/tcp,22/tcp,23/tcp", "22-24/tcp"},
		{"22/tcp,22/udp", "22/tcp,22/udp"},
		{"22/udp,23/tcp", "23/tcp,22/udp"},
		{"1-65535/tcp,5/tcp", "1-65535/tcp"},
		{"10-20/tcp, 15-30/tcp ,32/tcp", "10-30/tcp,32/tcp"},
		{"65535/tcp,65534/tcp", "65534-65535/tcp"},
	} {
		if got := mustSet(t, tt.in).String(); got != tt.want {
			t.Errorf("ParsePortSet(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestParsePortErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"22", `port "22": want a number and a protocol, such as 22/tcp`},
		{"22/icmp", `port "22/icmp": protocol "icmp": want tcp or udp`},
		{"0/tcp", `port "0/tcp": port number 0: want 1 to 65535`},
		{"65536/tcp", `port "65536/tcp": port number 65536: want 1 to 65535`},
		{"-1/tcp", `port "-1/tcp": "" is no port number: want 1 to 65535`},
		{"x/tcp", `port "x/tcp": "x" is no port number: want 1 to 65535`},
		{"+5/tcp", `port "+5/tcp": "+5" is no port number: want 1 to 65535`},
		{"9-8/tcp", `port "9-8/tcp": want the smaller number first`},
		{"8-9/tcp", `port "8-9/tcp": want one port such as 22/tcp, not a range`},
	} {
		_, err := ParsePort(tt.in)
		if err == nil || err.Error() != tt.want {
			t.Errorf("ParsePort(%q) error = %v, want %s", tt.in, err, tt.want)
		}
		if KindOf(err) != Invalid {
			t.Errorf("ParsePort(%q) kind = %q, want invalid", tt.in, KindOf(err))
		}
	}
}

// TestPortSetAlgebra compares the set operations with a bitmap, over random sets.
func TestPortSetAlgebra(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		a, b := randomSet(rng), randomSet(rng)
		inA, inB := bitmap(a), bitmap(b)
		for _, op := range []struct {
			name string
			got  PortSet
			want func(p Port) bool
		}{
			{"union", a.Union(b), func(p Port) bool { return inA[p] || inB[p] }},
			{"intersect", a.Intersect(b), func(p Port) bool { return inA[p] && inB[p] }},
			{"minus", a.Minus(b), func(p Port) bool { return inA[p] && !inB[p] }},
			{"of tcp", a.Of(TCP), func(p Port) bool { return inA[p] && p.Protocol == TCP }},
		} {
			assertSet(t, op.name, op.got, op.want)
		}
		if !a.Equal(NewPortSet(a.Ranges()...)) {
			t.Fatalf("%s is not in normal form", a)
		}
	}
}

func assertSet(t *testing.T, name string, got PortSet, want func(Port) bool) {
	t.Helper()
	n := 0
	for _, protocol := range []Protocol{TCP, UDP} {
		for number := 1; number <= 65535; number += 1 {
			if number > 80 && number < 65450 {
				continue // randomSet stays near the ends
			}
			p := Port{protocol, uint16(number)}
			if want(p) {
				n++
			}
			if got.Has(p) != want(p) {
				t.Fatalf("%s: %s has %s = %v", name, got, p, got.Has(p))
			}
		}
	}
	if got.Len() != n || !got.Equal(NewPortSet(got.Ranges()...)) {
		t.Fatalf("%s: %s: Len %d, want %d, in normal form", name, got, got.Len(), n)
	}
}

// randomSet returns up to six short ranges near both ends of the port space,
// where the mistakes are.
func randomSet(rng *rand.Rand) PortSet {
	var ranges []PortRange
	for range rng.IntN(7) {
		from := 1 + rng.IntN(70)
		if rng.IntN(2) == 0 {
			from = 65460 + rng.IntN(70)
		}
		to := min(65535, from+rng.IntN(6))
		protocol := []Protocol{TCP, UDP}[rng.IntN(2)]
		ranges = append(ranges, PortRange{protocol, uint16(from), uint16(to)})
	}
	return NewPortSet(ranges...)
}

func bitmap(s PortSet) map[Port]bool {
	m := map[Port]bool{}
	for p := range s.All() {
		m[p] = true
	}
	return m
}

func TestPortSetIsAValue(t *testing.T) {
	s := mustSet(t, "10-20/tcp")
	ranges := s.Ranges()
	ranges[0].To = 99
	_ = s.Union(mustSet(t, "21/tcp"))
	if got := s.String(); got != "10-20/tcp" {
		t.Errorf("set changed to %s", got)
	}
	for range s.All() {
		break // stopping early must be possible
	}
}

func FuzzParsePortSet(f *testing.F) {
	f.Add("22/tcp,8000-8009/tcp")
	f.Add("1-65535/udp")
	f.Add(",")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParsePortSet(text)
		if err != nil {
			return
		}
		again, err := ParsePortSet(s.String())
		if err != nil || !again.Equal(s) {
			t.Fatalf("%q -> %q -> %q, %v", text, s, again, err)
		}
	})
}

func FuzzParsePort(f *testing.F) {
	f.Add("22/tcp")
	f.Add("053/UDP")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePort(text)
		if err != nil {
			return
		}
		if again, err := ParsePort(p.String()); err != nil || again != p {
			t.Fatalf("%q -> %q -> %q, %v", text, p, again, err)
		}
	})
}

func BenchmarkPortSetMinus(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var traps []PortRange
	for range 60 {
		from := 1 + rng.IntN(65000)
		traps = append(traps, PortRange{TCP, uint16(from), uint16(from + 20)})
	}
	set, other := NewPortSet(traps...), mustSet(b, "22/tcp,443/tcp,8443/tcp")
	for b.Loop() {
		set.Minus(other)
	}
}

func TestPortSetHasEveryMember(t *testing.T) {
	s := mustSet(t, "1/tcp,5-7/tcp,65535/tcp,1/udp,9/udp")
	want := []string{"1/tcp", "5/tcp", "6/tcp", "7/tcp", "65535/tcp", "1/udp", "9/udp"}
	var got []string
	for p := range s.All() {
		got = append(got, p.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("All = %v, want %v", got, want)
	}
}

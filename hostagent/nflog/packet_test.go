package nflog

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

const (
	ip4 = "45 00 003c 0000 4000 40 06 0000 c6336407 cb00710a "
	// without its first six bytes, an IPv6 header after "next header"
	ip6Rest = "40 20010db8005100000000000000000007 20010db800cb00000000000000000010 "
	ip6     = "60000000 0014 "
	tcp     = "9c40 1f40 00000000 00000000 5002 ffff 0000 0000"
)

func parse(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParsePacket(t *testing.T) {
	hopByHop := " 0000000000000000" // next header goes before: the first byte
	tests := []struct {
		name   string
		packet string
		source string // "" if it cannot be parsed
		port   string
	}{
		{"IPv4 TCP", ip4 + tcp, "198.51.100.7", "8000/tcp"},
		{"IPv4 cut behind the ports", ip4 + "9c40 1f40", "198.51.100.7", "8000/tcp"},
		{"IPv4 cut in the ports", ip4 + "9c40 1f", "", ""},
		{"IPv4 cut in the header", "45 00 003c 0000 4000 40 06", "", ""},
		{"IPv4 options", strings.Replace(ip4, "45", "46", 1) + "01010101" + tcp, "198.51.100.7", "8000/tcp"},
		{"IPv4 header too short", strings.Replace(ip4, "45", "44", 1) + tcp, "", ""},
		{"IPv4 header too long", strings.Replace(ip4, "45", "4f", 1) + tcp, "", ""},
		{"IPv4 UDP", strings.Replace(ip4, "40 06", "40 11", 1) + "9c40 0035 0008 0000", "198.51.100.7", "53/udp"},
		{"IPv4 ICMP", strings.Replace(ip4, "40 06", "40 01", 1) + "0800 0000 0000 0000", "", ""},
		{"IPv4 first fragment", strings.Replace(ip4, "4000", "2000", 1) + tcp, "198.51.100.7", "8000/tcp"},
		{"IPv4 later fragment", strings.Replace(ip4, "4000", "2001", 1) + tcp, "", ""},
		{"port 0", ip4 + "9c40 0000", "", ""},
		{"IPv6 TCP", ip6 + "06" + ip6Rest + tcp, "2001:db8:51::7", "8000/tcp"},
		{"IPv6 cut behind the ports", ip6 + "06" + ip6Rest + "9c40 1f40", "2001:db8:51::7", "8000/tcp"},
		{"IPv6 cut in the header", ip6 + "06 40 20010db8", "", ""},
		{"IPv6 hop-by-hop", ip6 + "00" + ip6Rest + "06" + hopByHop[3:] + tcp, "2001:db8:51::7", "8000/tcp"},
		{"IPv6 options of 16 bytes, routing", ip6 + "3c" + ip6Rest + "2b01 000000000000 0000000000000000" + "0600 000000000000" + tcp, "2001:db8:51::7", "8000/tcp"},
		{"IPv6 authentication", ip6 + "33" + ip6Rest + "0601 0000 00000001 00000001" + tcp, "2001:db8:51::7", "8000/tcp"},
		{"IPv6 first fragment", ip6 + "2c" + ip6Rest + "0600 0001 00000001" + tcp, "2001:db8:51::7", "8000/tcp"},
		{"IPv6 later fragment", ip6 + "2c" + ip6Rest + "0600 0008 00000001" + tcp, "", ""},
		{"IPv6 options beyond the end", ip6 + "3c" + ip6Rest + "06ff 000000000000" + tcp, "", ""},
		{"IPv6 no next header", ip6 + "3b" + ip6Rest + tcp, "", ""},
		{"neither", "50" + ip4[2:] + tcp, "", ""},
		{"nothing", "", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source, port, ok := parsePacket(parse(t, test.packet))
			if !ok {
				if test.source != "" {
					t.Fatalf("not parsed, want %s to %s", test.source, test.port)
				}
				return
			}
			if source.String() != test.source || port.String() != test.port {
				t.Errorf("%s to %s, want %q to %q", source, port, test.source, test.port)
			}
		})
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add(parse(f, ip4+tcp))
	f.Add(parse(f, ip6+"06"+ip6Rest+tcp))
	f.Add(parse(f, ip6+"3c"+ip6Rest+"2b01 000000000000 0000000000000000"+"0600 000000000000"+tcp))
	f.Fuzz(func(t *testing.T, b []byte) {
		source, port, ok := parsePacket(b)
		if !ok {
			return
		}
		if !source.IsValid() || portsnare.BanPrefix(source) == (netip.Prefix{}) {
			t.Errorf("source %v", source)
		}
		if again, err := portsnare.ParsePort(port.String()); err != nil || again != port {
			t.Errorf("port %v: %v", port, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(parse(f, "0200 1647 08000500 01000000 08000c00 00000007 11000a00"+
		hex.EncodeToString([]byte(kernel.LogHit))+"00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := decode(b)
		if ok && e.ban && !e.ours {
			t.Error("a ban that is not ours")
		}
	})
}

func TestSequence(t *testing.T) {
	var s sequence
	for i, test := range []struct{ n, gap uint32 }{
		{7, 0}, {8, 0}, {11, 2}, {12, 0}, {1<<32 - 1, 1<<32 - 14}, {0, 0}, {2, 1},
	} {
		if got := s.gap(test.n); got != test.gap {
			t.Errorf("step %d: gap before %d is %d, want %d", i, test.n, got, test.gap)
		}
	}
}

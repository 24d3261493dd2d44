//go:build linux

package netlab

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	v4a, v4b = netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.10")
	v6a, v6b = netip.MustParseAddr("2001:db8:51::7"), netip.MustParseAddr("2001:db8:cb::10")
)

var forged = []struct {
	name string
	p    Packet
}{
	{"TCP over IPv4", Packet{Proto: TCP, Src: v4a, Dst: v4b, SrcPort: 40000, DstPort: 22, Flags: SYN, Seq: 1 << 31, Ack: 7}},
	{"TCP over IPv6", Packet{Proto: TCP, Src: v6a, Dst: v6b, SrcPort: 40000, DstPort: 22, Flags: FIN | PSH | URG, Payload: []byte("odd")}},
	{"a SYN as of a kernel", Packet{Proto: TCP, Src: v4a, Dst: v4b, SrcPort: 40000, DstPort: 22, Flags: SYN, OfferSACK: true, Payload: []byte("x")}},
	{"UDP over IPv4", Packet{Proto: UDP, Src: v4a, Dst: v4b, SrcPort: 53, DstPort: 5353, Payload: []byte("ping")}},
	{"UDP over IPv6", Packet{Proto: UDP, Src: v6a, Dst: v6b, SrcPort: 53, DstPort: 5353}},
	{"ICMP", Packet{Proto: ICMP, Src: v4a, Dst: v4b, Type: echoRequest4, Payload: []byte("\x00\x00\x00\x00x")}},
	{"ICMPv6", Packet{Proto: ICMPv6, Src: v6a, Dst: v6b, Type: echoRequest6, Payload: []byte("\x00\x00\x00\x00")}},
}

func TestPacketRoundTrip(t *testing.T) {
	for _, tt := range forged {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.p.appendIP(nil)
			if tt.p.Dst.Is4() {
				b[2], b[3] = byte(len(b)>>8), byte(len(b)) // what Linux fills in
			}
			got, ok := parseIP(b)
			if diff := cmp.Diff(tt.p, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); !ok || diff != "" {
				t.Errorf("parsed %v, -want +got:\n%s", ok, diff)
			}
		})
	}
}

// The checksum over a segment that carries its own is that of zero.
func TestChecksumVerifies(t *testing.T) {
	for _, tt := range forged {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.p
			if got := p.checksum(p.segment()); got != 0 && got != 0xffff {
				t.Errorf("checksum over checksum = %#x, want 0", got)
			}
		})
	}
}

func TestParseRefusesWhatIsCutShort(t *testing.T) {
	for _, tt := range forged {
		b := tt.p.appendIP(nil)
		for n := range len(b) - len(tt.p.Payload) {
			if p, ok := parseIP(b[:n:n]); ok {
				t.Errorf("%s: parsed %d bytes as %v", tt.name, n, p)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range forged {
		f.Add(tt.p.appendIP(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parseIP(b)
		if ok && p.String() == "" {
			t.Error("a packet without words")
		}
	})
}

func TestPacketString(t *testing.T) {
	tests := []struct {
		p    Packet
		want string
	}{
		{Packet{Src: v4a, Dst: v4b, SrcPort: 1, DstPort: 2}, "198.51.100.7:1 > 203.0.113.10:2 NULL"},
		{Packet{Proto: TCP, Src: v6a, Dst: v6b, SrcPort: 1, DstPort: 2, Flags: SYN | ACK},
			"[2001:db8:51::7]:1 > [2001:db8:cb::10]:2 SYN|ACK"},
		{Packet{Proto: UDP, Src: v4a, Dst: v4b, SrcPort: 1, DstPort: 2, Payload: []byte("x")},
			"198.51.100.7:1 > 203.0.113.10:2 UDP 1 bytes"},
		{Packet{Proto: ICMP, Src: v4a, Dst: v4b, Type: 3}, "198.51.100.7 > 203.0.113.10 protocol 1 type 3"},
	}
	for _, tt := range tests {
		if got := tt.p.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

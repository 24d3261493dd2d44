//go:build linux

package netlab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Protocol is what an IP packet carries, by its IANA number.
type Protocol uint8

// The protocols a Packet has fields for.
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
)

// Flags are the flags of a TCP segment.
type Flags uint8

// The flags, as in the TCP header.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG

	allFlags = FIN | SYN | RST | PSH | ACK | URG
)

// String returns the flags set, as "SYN|ACK", or "NULL" if there are none.
func (f Flags) String() string {
	var set []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} {
		if f&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	if set == nil {
		return "NULL"
	}
	return strings.Join(set, "|")
}

// Packet is an IP packet, to be forged or as it was captured.
type Packet struct {
	Proto            Protocol // the zero Protocol sends TCP
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16 // TCP and UDP
	Flags            Flags  // TCP
	Seq, Ack         uint32 // TCP
	Type             uint8  // ICMP and ICMPv6; the code is 0
	Payload          []byte // after the TCP or UDP header, after the checksum of ICMP

	// OfferSACK: the TCP segment offers selective acknowledgement, as the SYN of
	// every common kernel does and that of no raw scanner.
	OfferSACK bool

	// Only of a captured packet, whose Payload may be cut short.
	Outgoing bool      // the interface sent it
	Time     time.Time // by the kernel's clock
}

// String returns the packet in one line, as in
// "198.51.100.7:40000 > 203.0.113.10:22 SYN".
func (p Packet) String() string {
	switch p.Proto {
	case TCP, 0:
		return fmt.Sprintf("%s > %s %s", p.from(), p.to(), p.Flags)
	case UDP:
		return fmt.Sprintf("%s > %s UDP %d bytes", p.from(), p.to(), len(p.Payload))
	}
	return fmt.Sprintf("%s > %s protocol %d type %d", p.Src, p.Dst, p.Proto, p.Type)
}

func (p Packet) from() netip.AddrPort { return netip.AddrPortFrom(p.Src, p.SrcPort) }
func (p Packet) to() netip.AddrPort   { return netip.AddrPortFrom(p.Dst, p.DstPort) }

// appendIP appends the packet from its IP header on, checksums in place.
func (p Packet) appendIP(b []byte) []byte {
	segment := p.segment()
	if p.Dst.Is4() {
		b = append(b, 0x45, 0, 0, 0)             // version, IHL, TOS; Linux fills in the length,
		b = append(b, 0, 0, 0x40, 0)             // the identification (don't fragment)
		b = append(b, 64, byte(p.proto()), 0, 0) // and the header's checksum: raw(7)
		return p.appendAddrs(b, segment)
	}
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(segment)))
	b = append(b, byte(p.proto()), 64)
	return p.appendAddrs(b, segment)
}

func (p Packet) appendAddrs(b, rest []byte) []byte {
	b = append(b, p.Src.AsSlice()...)
	b = append(b, p.Dst.AsSlice()...)
	return append(b, rest...)
}

func (p Packet) proto() Protocol {
	if p.Proto == 0 {
		return TCP
	}
	return p.Proto
}

// segment is what follows the IP header.
func (p Packet) segment() []byte {
	var b []byte
	var sumAt int
	switch p.proto() {
	case TCP:
		b = p.appendPorts(b)
		b = binary.BigEndian.AppendUint32(b, p.Seq)
		b = binary.BigEndian.AppendUint32(b, p.Ack)
		options := p.options()
		b = append(b, byte(5+len(options)/4)<<4, byte(p.Flags), 0xff, 0xff, 0, 0, 0, 0) // window 65535
		b = append(b, options...)
		sumAt = 16
	case UDP:
		b = p.appendPorts(b)
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(p.Payload)))
		b = append(b, 0, 0)
		sumAt = 6
	default:
		b = append(b, p.Type, 0, 0, 0)
		sumAt = 2
	}
	b = append(b, p.Payload...)
	binary.BigEndian.PutUint16(b[sumAt:], p.checksum(b))
	return b
}

// options are those of TCP, in words of four bytes.
func (p Packet) options() []byte {
	if p.OfferSACK {
		return []byte{1, 1, 4, 2} // no operation twice, SACK permitted (RFC 2018)
	}
	return nil
}

func (p Packet) appendPorts(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.SrcPort)
	return binary.BigEndian.AppendUint16(b, p.DstPort)
}

// checksum is that of RFC 1071 over the segment and, except for ICMP, the
// pseudo header. An UDP sum of 0 would mean "none" and is sent as its other form.
func (p Packet) checksum(segment []byte) uint16 {
	sum := sum16(segment)
	if p.proto() != ICMP {
		sum += sum16(p.Src.AsSlice()) + sum16(p.Dst.AsSlice())
		sum += uint32(p.proto()) + uint32(len(segment))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff && p.proto() == UDP {
		return 0xffff
	}
	return ^uint16(sum)
}

// sum16 adds big-endian words up; 64 KiB of them cannot overflow it.
func sum16(b []byte) (sum uint32) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// parseIP reads a packet from its IP header on; ok is false for anything that
// is not whole up to its TCP, UDP or ICMP header.
func parseIP(b []byte) (p Packet, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		p.Proto = Protocol(b[9])
		p.Src, _ = netip.AddrFromSlice(b[12:16])
		p.Dst, _ = netip.AddrFromSlice(b[16:20])
		return p.withSegment(cut(b, header, total))
	case len(b) >= 40 && b[0]>>4 == 6:
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		p.Proto = Protocol(b[6])
		p.Src, _ = netip.AddrFromSlice(b[8:24])
		p.Dst, _ = netip.AddrFromSlice(b[24:40])
		return p.withSegment(cut(b, 40, total))
	}
	return p, false
}

// cut returns b[from:to] or as much of it as there is.
func cut(b []byte, from, to int) []byte {
	to = min(to, len(b))
	if from > to {
		return nil
	}
	return b[from:to]
}

// withSegment reads what follows the IP header.
func (p Packet) withSegment(b []byte) (Packet, bool) {
	switch {
	case p.Proto == TCP && len(b) >= 20:
		p.Seq, p.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		p.Flags = Flags(b[13]) & allFlags
		header := int(b[12]>>4) * 4
		p.OfferSACK = offersSACK(cut(b, 20, header))
		return p.withPorts(b, header), true
	case p.Proto == UDP && len(b) >= 8:
		return p.withPorts(b, 8), true
	case (p.Proto == ICMP || p.Proto == ICMPv6) && len(b) >= 4:
		p.Type = b[0]
		p.Payload = cut(b, 4, len(b))
		return p, true
	}
	return p, false
}

// offersSACK reports whether SACK-permitted is among the options of a segment.
func offersSACK(options []byte) bool {
	const end, nothing, permitted = 0, 1, 4
	for len(options) > 0 {
		switch kind := options[0]; {
		case kind == permitted || kind == end:
			return kind == permitted
		case kind == nothing:
			options = options[1:]
		case len(options) < 2 || options[1] < 2 || int(options[1]) > len(options):
			return false
		default:
			options = options[options[1]:]
		}
	}
	return false
}

func (p Packet) withPorts(b []byte, header int) Packet {
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.Payload = cut(b, header, len(b))
	return p
}

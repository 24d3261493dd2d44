package nflog

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

// parsePacket returns where a packet comes from and which port it is for. It is
// false for what is neither TCP nor UDP, for a fragment that is not the first,
// and if the ports lie beyond the end of b.
func parsePacket(b []byte) (source netip.Addr, to portsnare.Port, ok bool) {
	if len(b) == 0 {
		return source, to, false
	}
	var protocol int
	var segment []byte
	switch b[0] >> 4 {
	case 4:
		source, protocol, segment = parseIPv4(b)
	case 6:
		source, protocol, segment = parseIPv6(b)
	}
	if len(segment) < 4 || protocol != unix.IPPROTO_TCP && protocol != unix.IPPROTO_UDP {
		return source, to, false
	}
	to = portsnare.Port{Protocol: portsnare.Protocol(protocol), Number: binary.BigEndian.Uint16(segment[2:])}
	return source, to, to.Number != 0
}

// parseIPv4 returns what follows the header, RFC 791; nil if there is nothing.
func parseIPv4(b []byte) (source netip.Addr, protocol int, segment []byte) {
	const minimum, offsetMask = 20, 0x1fff
	if len(b) < minimum || binary.BigEndian.Uint16(b[6:])&offsetMask != 0 {
		return source, 0, nil
	}
	header := int(b[0]&0xf) * 4
	source, _ = netip.AddrFromSlice(b[12:16])
	if header < minimum {
		return source, 0, nil
	}
	return source, int(b[9]), from(b, header)
}

// parseIPv6 returns what follows the last of the headers, RFC 8200.
func parseIPv6(b []byte) (source netip.Addr, protocol int, segment []byte) {
	const header = 40
	if len(b) < header {
		return source, 0, nil
	}
	source, _ = netip.AddrFromSlice(b[8:24])
	protocol, segment = int(b[6]), b[header:]
	for len(segment) >= 8 {
		length := 0
		switch protocol {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS, unix.IPPROTO_MH:
			length = 8 + int(segment[1])*8
		case unix.IPPROTO_AH: // RFC 4302
			length = 8 + int(segment[1])*4
		case unix.IPPROTO_FRAGMENT:
			const offsetMask = 0xfff8
			if binary.BigEndian.Uint16(segment[2:])&offsetMask != 0 {
				return source, 0, nil
			}
			length = 8
		default:
			return source, protocol, segment
		}
		protocol, segment = int(segment[0]), from(segment, length)
	}
	return source, protocol, segment
}

// from returns b[n:], or nil if b ends before.
func from(b []byte, n int) []byte {
	if n > len(b) {
		return nil
	}
	return b[n:]
}

package kernel

import (
	"crypto/sha256"
	"net/netip"
	"strings"
)

// Sum identifies the rules of a program by an address, which is what a set of the
// kernel can hold. So the kernel itself tells whether its rules are those that were
// made, without the order that they were made for.
func Sum(rules []string) netip.Addr {
	sum := sha256.Sum256([]byte(strings.Join(rules, "\n")))
	return netip.AddrFrom4([4]byte{sum[0] | 1, sum[1], sum[2], sum[3]}) // no set holds 0.0.0.0
}

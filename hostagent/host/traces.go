package host

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Trace is something in the kernel that bears a name.
type Trace struct{ Kind, Name string }

// The kinds of a [Trace].
const (
	SetKind   = "set"   // of ipset
	TableKind = "table" // of nf_tables
	ChainKind = "chain" // of nf_tables, and so of iptables-nft
)

// Traces returns what in the kernel bears a name, or that and more behind an
// underscore, in any case: sets of ipset, tables and chains of nf_tables. It needs no
// program, so it finds what a program that has been removed has left behind.
// Chains of iptables-legacy it cannot see, but the sets that they refer to.
func Traces(name string) ([]Trace, error) {
	sets, err := sets()
	if err != nil && !unknown(err) {
		return nil, err
	}
	var rules Netfilter
	chains, err := rules.Chains()
	if err != nil && !unknown(err) {
		return nil, err
	}
	defer rules.Close()
	var found []Trace
	add := func(kind, its string) {
		if first, _, _ := strings.Cut(its, "_"); strings.EqualFold(first, name) {
			found = append(found, Trace{kind, its})
		}
	}
	for _, set := range sets {
		add(SetKind, set)
	}
	for chain := range maps.Keys(chains) {
		if chain.Name == "" {
			add(TableKind, chain.Table)
		} else {
			add(ChainKind, chain.Name)
		}
	}
	slices.SortFunc(found, func(a, b Trace) int { return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name)) })
	return slices.Compact(found), nil
}

// unknown reports whether the kernel does not know what it was asked about, so
// that there is none of it.
func unknown(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// Constants of include/uapi/linux/netfilter/ipset/ip_set.h (Linux 6.18).
const (
	setsList     = netlink.HeaderType(unix.NFNL_SUBSYS_IPSET<<8 | 7) // IPSET_CMD_LIST
	setsProtocol = 6                                                 // the first with all we need, known ever since
	attrProtocol = 1
	attrSetName  = 2
	attrFlags    = 6
	flagNames    = 1 << 1 // IPSET_FLAG_LIST_SETNAME
)

// sets returns the names of all sets of ipset.
func sets() (names []string, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	attributes := netlink.NewAttributeEncoder()
	attributes.Uint8(attrProtocol, setsProtocol)
	attributes.Bytes(attrFlags|unix.NLA_F_NET_BYTEORDER, []byte{0, 0, 0, flagNames})
	data, err := attributes.Encode()
	if err != nil {
		return nil, err
	}
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: setsList, Flags: netlink.Request | netlink.Dump},
		Data:   append(make([]byte, headSize), data...),
	})
	for _, answer := range answers {
		list, err := netlink.UnmarshalAttributes(answer.Data[min(headSize, len(answer.Data)):])
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if a.Type == attrSetName {
				names = append(names, text(a.Data))
			}
		}
	}
	return names, err
}

package host

import (
	"encoding/binary"
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Chain is a chain of nf_tables, or a table, whose Name is "".
type Chain struct {
	Family uint8 // of the table: unix.NFPROTO_IPV4
	Table  string
	Name   string
}

// Chains returns all tables and chains, and of each chain whether it is idle: it
// hangs in a hook and accepts what none of its rules decides.
func (n *Netfilter) Chains() (idle map[Chain]bool, err error) {
	idle = map[Chain]bool{}
	err = n.converse(func() error {
		return errors.Join(
			n.dump(unix.NFT_MSG_GETTABLE, func(family uint8, a map[uint16][]byte) {
				idle[Chain{Family: family, Table: text(a[unix.NFTA_TABLE_NAME])}] = false
			}),
			n.dump(unix.NFT_MSG_GETCHAIN, func(family uint8, a map[uint16][]byte) {
				c := Chain{family, text(a[unix.NFTA_CHAIN_TABLE]), text(a[unix.NFTA_CHAIN_NAME])}
				policy := a[unix.NFTA_CHAIN_POLICY]
				idle[c] = len(policy) == 4 && binary.BigEndian.Uint32(policy) == accept
			}))
	})
	return idle, err
}

// accept is NF_ACCEPT (include/uapi/linux/netfilter.h).
const accept = 1

// text returns an attribute that is a string, which ends with a zero.
func text(attribute []byte) string { return string(attribute[:max(0, len(attribute)-1)]) }

// dump calls each with the family and the attributes of every object of a kind.
func (n *Netfilter) dump(kind netlink.HeaderType, each func(family uint8, attributes map[uint16][]byte)) error {
	answers, err := n.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | kind, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, headSize),
	})
	if err != nil {
		return err
	}
	for _, answer := range answers {
		if len(answer.Data) < headSize {
			return errors.New("the kernel sends half a message about its rules")
		}
		list, err := netlink.UnmarshalAttributes(answer.Data[headSize:])
		if err != nil {
			return err
		}
		attributes := make(map[uint16][]byte, len(list))
		for _, a := range list {
			attributes[a.Type] = a.Data
		}
		each(answer.Data[0], attributes)
	}
	return nil
}

// Remove removes chains and tables, in this order, unless one of them holds
// anything: then it removes none, and the error is unix.EBUSY.
func (n *Netfilter) Remove(chains []Chain) error {
	var changes []netlink.Message
	for _, c := range chains {
		kind, attributes := netlink.HeaderType(unix.NFT_MSG_DELTABLE), map[uint16]string{unix.NFTA_TABLE_NAME: c.Table}
		if c.Name != "" {
			kind, attributes = unix.NFT_MSG_DELCHAIN, map[uint16]string{unix.NFTA_CHAIN_TABLE: c.Table, unix.NFTA_CHAIN_NAME: c.Name}
		}
		e := netlink.NewAttributeEncoder()
		for attribute, value := range attributes {
			e.String(attribute, value)
		}
		data, err := e.Encode()
		if err != nil {
			return err
		}
		changes = append(changes, netlink.Message{
			Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | kind, Flags: netlink.Request | unix.NLM_F_NONREC},
			Data:   append([]byte{c.Family, unix.NFNETLINK_V0, 0, 0}, data...),
		})
	}
	return n.Commit(changes)
}

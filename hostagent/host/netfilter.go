package host

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Netfilter speaks with the kernel about the rules of nf_tables, in the network
// namespace in which it is first used. The zero Netfilter is ready. Its
// connection stays open: the kernel lets nobody close one before it has cleaned
// up behind the last change, which takes 10 to 20 ms (Linux 6.18, 2026-11-21).
type Netfilter struct{ conn *netlink.Conn }

// patience is how long the kernel may take for an answer.
const patience = 5 * time.Second

// Constants of include/uapi/linux/netfilter/nfnetlink.h and nf_tables.h (Linux
// 6.18) that have no names elsewhere.
const (
	generationID = 1 // NFTA_GEN_ID
	headSize     = 4 // struct nfgenmsg
)

// Close closes the connection, which the next question opens again.
func (n *Netfilter) Close() {
	if n.conn != nil {
		n.conn.Close()
		n.conn = nil
	}
}

// Generation returns the generation of the rules: the kernel raises it by one
// with every transaction that changes something, and with nothing else. Packets do
// not change it.
func (n *Netfilter) Generation() (generation uint32, err error) {
	err = n.converse(func() (err error) {
		generation, err = n.generation()
		return err
	})
	return generation, err
}

func (n *Netfilter) generation() (uint32, error) {
	answers, err := n.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
		Data:   make([]byte, headSize),
	})
	if err != nil {
		return 0, err
	}
	if len(answers) != 1 || len(answers[0].Data) < headSize {
		return 0, errNoGeneration
	}
	attributes, err := netlink.NewAttributeDecoder(answers[0].Data[headSize:])
	if err != nil {
		return 0, err
	}
	attributes.ByteOrder = binary.BigEndian
	for attributes.Next() {
		if attributes.Type() == generationID {
			return attributes.Uint32(), attributes.Err()
		}
	}
	return 0, errNoGeneration
}

var errNoGeneration = errors.New("the kernel does not tell the generation of its rules")

// Commit has the kernel make changes in one transaction: all of them or none.
// There must be one at least.
func (n *Netfilter) Commit(changes []netlink.Message) error {
	boundary := func(kind netlink.HeaderType) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request},
			Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
		}
	}
	batch := append([]netlink.Message{boundary(unix.NFNL_MSG_BATCH_BEGIN)}, changes...)
	batch[len(batch)-1].Header.Flags |= netlink.Acknowledge
	batch = append(batch, boundary(unix.NFNL_MSG_BATCH_END))
	return n.converse(func() error {
		if _, err := n.conn.SendMessages(batch); err != nil {
			return err
		}
		// What the kernel says first is an error, if there is one, or that it has
		// done what was asked last.
		answers, err := n.conn.Receive()
		if err == nil && (len(answers) != 1 || answers[0].Header.Type != netlink.Error) {
			err = errors.New("the kernel does not say whether it has changed its rules")
		}
		return err
	})
}

// converse opens the connection unless it is open, and closes it after an error,
// since answers may follow that nobody waits for.
func (n *Netfilter) converse(about func() error) error {
	if n.conn == nil {
		conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
		if err != nil {
			return err
		}
		n.conn = conn
	}
	// A list of every port twice is shorter.
	err := errors.Join(n.conn.SetWriteBuffer(1<<22), n.conn.SetDeadline(time.Now().Add(patience)))
	if err == nil {
		err = about()
	}
	if err != nil {
		n.Close()
	}
	return err
}

package nftables

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

// refill is what becomes of what a set of ports holds.
type refill struct {
	set        string
	flush      bool // all of it goes
	gone, come portsnare.PortSet
}

// refill returns how the set gets from what stands in it to what it shall hold.
func (s set) refill(stands portsnare.PortSet) refill {
	r := refill{set: s.name, gone: stands.Minus(s.ports), come: s.ports.Minus(stands)}
	if r.gone.Equal(stands) && !stands.Empty() {
		r.flush, r.gone = true, portsnare.PortSet{}
	}
	return r
}

// write writes the refill for nft.
func (r refill) write(l *lines) {
	if r.flush {
		l.addf("flush set %s %s", ours, r.set)
	}
	l.each("delete", r.set, each(r.gone))
	l.each("add", r.set, each(r.come))
}

// each returns ports one by one: sets that know ranges are slower.
func each(ports portsnare.PortSet) []string {
	var all []string
	for port := range ports.All() {
		all = append(all, strconv.Itoa(int(port.Number)))
	}
	return all
}

// mostElements is how many elements a message takes: an attribute holds less
// than 65,536 bytes, an element is 16.
const mostElements = 4000

// messages returns the refill in the language of netlink, which is for haste:
// nft says the same, but takes 15 ms to end.
func (r refill) messages() (all []netlink.Message) {
	const add, del = unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM
	if r.flush {
		all = append(all, r.message(del, nil))
	}
	for ports := range slices.Chunk(slices.Collect(r.gone.All()), mostElements) {
		all = append(all, r.message(del, ports))
	}
	for ports := range slices.Chunk(slices.Collect(r.come.All()), mostElements) {
		all = append(all, r.message(add, ports))
	}
	return all
}

// message adds ports to the set or deletes them; to delete none is to delete all.
func (r refill) message(kind netlink.HeaderType, ports []portsnare.Port) netlink.Message {
	list := netlink.NewAttributeEncoder()
	list.String(unix.NFTA_SET_ELEM_LIST_TABLE, name)
	list.String(unix.NFTA_SET_ELEM_LIST_SET, r.set)
	if len(ports) > 0 {
		list.Bytes(unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED, elements(ports))
	}
	attributes, err := list.Encode()
	if err != nil { // only if an attribute were too long
		panic(err)
	}
	return netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | kind, Flags: netlink.Request | netlink.Create},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, attributes...),
	}
}

// elements returns ports as the elements of a list: attributes of one attribute
// of one attribute.
func elements(ports []portsnare.Port) (all []byte) {
	for _, port := range ports {
		for _, head := range []struct{ size, kind uint16 }{
			{16, unix.NFTA_LIST_ELEM | unix.NLA_F_NESTED},
			{12, unix.NFTA_SET_ELEM_KEY | unix.NLA_F_NESTED},
			{6, unix.NFTA_DATA_VALUE},
		} {
			all = binary.NativeEndian.AppendUint16(all, head.size)
			all = binary.NativeEndian.AppendUint16(all, head.kind)
		}
		all = append(binary.BigEndian.AppendUint16(all, port.Number), 0, 0)
	}
	return all
}

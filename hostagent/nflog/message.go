package nflog

import (
	"encoding/binary"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare/hostagent/kernel"
)

// The messages of nfnetlink_log and their attributes. All numbers in them are
// big-endian.
const (
	messagePacket = netlink.HeaderType(unix.NFNL_SUBSYS_ULOG << 8)
	messageConfig = netlink.HeaderType(unix.NFNL_SUBSYS_ULOG<<8 + 1)

	configCommand   = 1 // one byte
	configMode      = 2 // how many bytes of a packet (0 for all that the rule says), how, a pad
	configTimeout   = 4 // in 10 ms
	configThreshold = 5 // packets
	configFlags     = 6

	commandBind   = 1
	modePacket    = 2
	flagSequence  = 1
	packetPayload = 9
	packetPrefix  = 10
	packetNumber  = 12

	headerLen = 4 // struct nfgenmsg: family, version, group
)

// The kernel hands sightings over in batches: when there are so many, or 10 ms
// after the first.
const batch = 32

// readBuffer holds some thousand sightings while nobody reads.
const readBuffer = 4 << 20

// bindMessage asks for the packets of a group. One message sets everything up,
// so its acknowledgement comes before the first packet.
func bindMessage(group uint16) netlink.Message {
	data := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}
	data = binary.BigEndian.AppendUint16(data, group)
	encoder := netlink.NewAttributeEncoder()
	encoder.ByteOrder = binary.BigEndian
	encoder.Uint8(configCommand, commandBind)
	encoder.Bytes(configMode, []byte{0, 0, 0, 0, modePacket, 0})
	encoder.Uint32(configTimeout, 1)
	encoder.Uint32(configThreshold, batch)
	encoder.Uint16(configFlags, flagSequence)
	attributes, err := encoder.Encode()
	if err != nil { // only of attributes that are too long
		panic(err)
	}
	return netlink.Message{
		Header: netlink.Header{Type: messageConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append(data, attributes...),
	}
}

// entry is one logged packet.
type entry struct {
	ours     bool // logged by the kernel program
	ban      bool
	sequence uint32
	packet   []byte // from the IP header on, cut short
}

// decode reads a message of type messagePacket.
func decode(data []byte) (e entry, ok bool) {
	if len(data) < headerLen {
		return e, false
	}
	attributes, err := netlink.NewAttributeDecoder(data[headerLen:])
	if err != nil {
		return e, false
	}
	attributes.ByteOrder = binary.BigEndian
	for attributes.Next() {
		switch attributes.Type() {
		case packetPayload:
			e.packet = attributes.Bytes()
		case packetPrefix:
			prefix := strings.TrimRight(attributes.String(), "\x00")
			e.ban = prefix == kernel.LogBan
			e.ours = e.ban || prefix == kernel.LogHit
		case packetNumber:
			e.sequence = attributes.Uint32()
		}
	}
	return e, attributes.Err() == nil
}

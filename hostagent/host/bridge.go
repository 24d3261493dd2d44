package host

import (
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// hasBridge reports whether there is a bridge among the network interfaces.
func hasBridge() (bool, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	links, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, unix.SizeofIfInfomsg),
	})
	if err != nil {
		return false, err
	}
	for _, link := range links {
		kind, err := kindOf(link)
		if err != nil || kind == "bridge" {
			return kind == "bridge", err
		}
	}
	return false, nil
}

// kindOf returns the kind of a virtual interface, or "".
func kindOf(link netlink.Message) (kind string, err error) {
	if len(link.Data) < unix.SizeofIfInfomsg {
		return "", errors.New("the kernel sends half a link")
	}
	link.Data = link.Data[unix.SizeofIfInfomsg:]
	attributes, err := netlink.NewAttributeDecoder(link.Data)
	if err != nil {
		return "", err
	}
	for attributes.Next() {
		if attributes.Type() != unix.IFLA_LINKINFO {
			continue
		}
		attributes.Nested(func(info *netlink.AttributeDecoder) error {
			for info.Next() {
				if info.Type() == unix.IFLA_INFO_KIND {
					kind = info.String()
				}
			}
			return nil
		})
	}
	return kind, attributes.Err()
}

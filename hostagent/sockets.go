package hostagent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

// Listening returns the ports on which a local socket waits for anybody: TCP
// sockets that listen and UDP sockets that are not connected, unless they are bound
// to a loopback address or to the loopback interface.
//
// It asks the kernel over netlink for such sockets alone, so that it takes no
// longer on a host with many connections. A kernel without sock_diag is read from
// /proc, which has a line for every connection.
func Listening() (portsnare.PortSet, error) {
	ports, err := diagnosed()
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) {
		return listening(os.DirFS(procNet))
	}
	if err != nil {
		return portsnare.PortSet{}, &portsnare.Error{Kind: portsnare.Transient, Op: "read the sockets", Err: err}
	}
	return ports, nil
}

// Constants of include/uapi/linux/inet_diag.h and include/net/tcp_states.h (Linux
// 6.18). An unconnected UDP socket is in the state that TCP calls close.
const (
	diagRequestSize = 56
	diagAnswerSize  = 72
	tcpClose        = 7
	tcpListen       = 10

	// loopbackIndex is the number of the interface lo in every network namespace
	// (LOOPBACK_IFINDEX, include/net/net_namespace.h).
	loopbackIndex = 1

	diagTime = 5 * time.Second
)

// diagnosed asks for the sockets that wait.
func diagnosed() (portsnare.PortSet, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return portsnare.PortSet{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(diagTime)); err != nil {
		return portsnare.PortSet{}, err
	}
	var ports []portsnare.Port
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range []struct {
			protocol portsnare.Protocol
			number   byte
			state    uint32
		}{{portsnare.TCP, unix.IPPROTO_TCP, tcpListen}, {portsnare.UDP, unix.IPPROTO_UDP, tcpClose}} {
			numbers, err := waiting(conn, family, kind.number, kind.state)
			if err != nil {
				return portsnare.PortSet{}, err
			}
			for _, n := range numbers {
				ports = append(ports, portsnare.Port{Protocol: kind.protocol, Number: n})
			}
		}
	}
	return portsnare.PortSetOf(ports...), nil
}

// waiting returns the ports of the sockets in one state that wait for anybody.
func waiting(conn *netlink.Conn, family, protocol byte, state uint32) (ports []uint16, err error) {
	request := make([]byte, diagRequestSize) // struct inet_diag_req_v2
	request[0], request[1] = family, protocol
	binary.NativeEndian.PutUint32(request[4:], 1<<state)
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
		Data:   request,
	})
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	for _, answer := range answers {
		port, open, err := parseDiag(answer.Data)
		if err != nil {
			return nil, err
		}
		if open {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// parseDiag reads a struct inet_diag_msg: the socket's own port, and whether
// anybody else than this host can reach it.
func parseDiag(data []byte) (port uint16, open bool, err error) {
	if len(data) < diagAnswerSize {
		return 0, false, errors.New("the kernel sends half a socket")
	}
	port = binary.BigEndian.Uint16(data[4:])
	addr := netip.AddrFrom4([4]byte(data[8:12]))
	if data[0] == unix.AF_INET6 {
		addr = netip.AddrFrom16([16]byte(data[8:24]))
	}
	device := binary.NativeEndian.Uint32(data[40:])
	return port, port != 0 && device != loopbackIndex && !addr.Unmap().IsLoopback(), nil
}

package hostagent

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/portsnare/portsnare"
)

// procNet is what the kernel says of the network namespace that we are in.
const procNet = "/proc/self/net"

// Gateways returns the routers that this host sends through.
func Gateways() ([]netip.Addr, error) { return gateways(os.DirFS(procNet)) }

// States of a socket in /proc/net/tcp and udp (include/net/tcp_states.h of
// Linux 6.18; an unconnected UDP socket is in the state that TCP calls close).
const (
	stateListen = "0A"
	stateClose  = "07"
)

// listening is [Listening] for a kernel without sock_diag. It does not see which
// sockets are bound to an interface.
func listening(proc fs.FS) (portsnare.PortSet, error) {
	var ports []portsnare.Port
	for _, table := range []struct {
		file     string
		protocol portsnare.Protocol
		state    string
	}{
		{"tcp", portsnare.TCP, stateListen},
		{"tcp6", portsnare.TCP, stateListen},
		{"udp", portsnare.UDP, stateClose},
		{"udp6", portsnare.UDP, stateClose},
	} {
		err := readTable(proc, table.file, func(fields []string) error {
			port, waits, err := parseSocket(fields, table.state)
			if waits && err == nil {
				ports = append(ports, portsnare.Port{Protocol: table.protocol, Number: port})
			}
			return err
		})
		if err != nil {
			return portsnare.PortSet{}, err
		}
	}
	return portsnare.PortSetOf(ports...), nil
}

// parseSocket reads "0: 0100007F:0035 00000000:0000 0A ...": number, local
// address and port, remote address and port, state.
func parseSocket(fields []string, state string) (port uint16, waits bool, err error) {
	if len(fields) < 4 {
		return 0, false, errors.New("too few fields")
	}
	if fields[3] != state {
		return 0, false, nil
	}
	address, digits, _ := strings.Cut(fields[1], ":")
	n, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return 0, false, err
	}
	addr, err := parseSocketAddr(address)
	return uint16(n), n != 0 && !addr.Unmap().IsLoopback(), err
}

// parseSocketAddr reads an address as /proc/net/tcp and tcp6 have it: words of 32
// bits, each in the byte order of the machine.
func parseSocketAddr(s string) (netip.Addr, error) {
	if len(s) == 8 {
		return parseIPv4(s)
	}
	if len(s) != 32 {
		return netip.Addr{}, fmt.Errorf("%q is no address", s)
	}
	var octets [16]byte
	for i := range 4 {
		word, err := parseIPv4(s[8*i : 8*i+8])
		if err != nil {
			return netip.Addr{}, err
		}
		four := word.As4()
		copy(octets[4*i:], four[:])
	}
	return netip.AddrFrom16(octets), nil
}

// gatewayFlag is RTF_GATEWAY of Linux (include/uapi/linux/route.h).
const gatewayFlag = 2

func gateways(proc fs.FS) ([]netip.Addr, error) {
	var found []netip.Addr
	err := readTable(proc, "route", func(fields []string) error {
		if len(fields) < 4 {
			return errors.New("too few fields")
		}
		return addGateway(&found, fields[2], fields[3], parseIPv4)
	})
	if err != nil {
		return nil, err
	}
	err = readTable(proc, "ipv6_route", func(fields []string) error {
		if len(fields) < 9 {
			return errors.New("too few fields")
		}
		return addGateway(&found, fields[4], fields[8], parseIPv6)
	})
	return found, err
}

func addGateway(found *[]netip.Addr, address, flags string, parse func(string) (netip.Addr, error)) error {
	bits, err := strconv.ParseUint(flags, 16, 32)
	if err != nil || bits&gatewayFlag == 0 {
		return err
	}
	addr, err := parse(address)
	if err == nil && !addr.IsUnspecified() {
		*found = append(*found, addr)
	}
	return err
}

// parseIPv4 reads an address in the byte order of the machine, as
// /proc/net/route has it.
func parseIPv4(s string) (netip.Addr, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	var octets [4]byte
	binary.NativeEndian.PutUint32(octets[:], uint32(n))
	return netip.AddrFrom4(octets), err
}

// parseIPv6 reads 32 hexadecimal digits in network order.
func parseIPv6(s string) (netip.Addr, error) {
	octets, err := hex.DecodeString(s)
	if err != nil || len(octets) != 16 {
		return netip.Addr{}, fmt.Errorf("%q is no address", s)
	}
	return netip.AddrFrom16([16]byte(octets)), nil
}

// readTable calls each with the fields of every line that is no heading. A
// table that the kernel does not have, as without IPv6, is empty.
func readTable(proc fs.FS, name string, each func(fields []string) error) error {
	f, err := proc.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return parseTable(f, name, each)
}

func parseTable(r io.Reader, name string, each func(fields []string) error) error {
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) == 0 || fields[0] == "sl" || fields[0] == "Iface" {
			continue
		}
		if err := each(fields); err != nil {
			return fmt.Errorf("%s: line %q: %w", name, scanner.Text(), err)
		}
	}
	return scanner.Err()
}

package ipset

import (
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

// reservedPath is the kernel parameter, of the network namespace of whoever
// opens it, that lists the ports the kernel never chooses by itself.
const reservedPath = "/proc/sys/net/ipv4/ip_local_reserved_ports"

// reservedText is more than the longest list, which names every second port.
const reservedText = 1 << 18

// readReserved reads the list. The kernel gives it out whole in the first read
// and wrongly in pieces, so os.ReadFile would not do.
func readReserved(path string) (portsnare.PortSet, error) {
	f, err := os.Open(path)
	if err != nil {
		return portsnare.PortSet{}, err
	}
	defer f.Close()
	text := make([]byte, reservedText)
	n, err := f.Read(text)
	if err != nil && !errors.Is(err, io.EOF) {
		return portsnare.PortSet{}, err
	}
	return parseReserved(string(text[:n]))
}

// readReserved reads the list into the state, if it can be written.
func (s *state) readReserved() (err error) {
	if s.reservable = unix.Access(reservedPath, unix.W_OK) == nil; s.reservable {
		s.reserved, err = readReserved(reservedPath)
	}
	return err
}

// parseReserved reads such as "5,7-9". Port 0, which no socket can have, is
// passed over.
func parseReserved(text string) (portsnare.PortSet, error) {
	var ranges []portsnare.PortRange
	for field := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		if rest, ok := strings.CutPrefix(field, "0-"); ok {
			field = "1-" + rest
		}
		if field == "" || field == "0" {
			continue
		}
		r, err := parseRange(field)
		if err != nil {
			return portsnare.PortSet{}, err
		}
		ranges = append(ranges, r)
	}
	return portsnare.NewPortSet(ranges...), nil
}

// writeReserved replaces the list.
func writeReserved(path string, ports portsnare.PortSet) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(formatReserved(ports))
	return errors.Join(err, f.Close())
}

// formatReserved returns what parseReserved reads, as the kernel prints it.
func formatReserved(ports portsnare.PortSet) string {
	return strings.Join(content{ports: ports}.entries(), ",") + "\n"
}

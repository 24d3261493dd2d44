// Package localports reads and writes the TCP ports that the kernel never chooses
// by itself for a connection of this host (net.ipv4.ip_local_reserved_ports).
// Every backend puts its traps there.
package localports

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/portsnare/portsnare"
)

// Path is the kernel parameter, of the network namespace of whoever opens it.
const Path = "/proc/sys/net/ipv4/ip_local_reserved_ports"

// longest is more than the longest list, which names every second port.
const longest = 1 << 18

// Read returns the ports on the list, none where there is no list. The kernel
// gives it out whole in the first read and wrongly in pieces, so os.ReadFile would
// not do.
func Read(path string) (portsnare.PortSet, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return portsnare.PortSet{}, nil
	}
	if err != nil {
		return portsnare.PortSet{}, err
	}
	defer f.Close()
	text := make([]byte, longest)
	n, err := f.Read(text)
	if err != nil && !errors.Is(err, io.EOF) {
		return portsnare.PortSet{}, err
	}
	return Parse(string(text[:n]))
}

// Replace writes the list and reads it back. The error is of kind
// [portsnare.Denied] if the list cannot be written, as in some containers, and
// [portsnare.Conflict] if the kernel holds another one afterwards.
func Replace(path string, ports portsnare.PortSet) error {
	failure := &portsnare.Error{
		Kind: portsnare.Denied, Op: "write", Subject: path,
		Hint: "make it writable for portsnare-agent; in a container, mount /proc/sys read-write",
	}
	if failure.Err = write(path, ports); failure.Err != nil {
		return failure
	}
	stands, err := Read(path)
	if err == nil && !stands.Equal(Numbers(ports)) {
		err = fmt.Errorf("the kernel holds %d other ports than were written", stands.Minus(ports).Union(ports.Minus(stands)).Len())
	}
	if err != nil {
		failure.Kind, failure.Err = portsnare.Conflict, err
		failure.Hint = "another program may write the list, too"
		return failure
	}
	return nil
}

func write(path string, ports portsnare.PortSet) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(Format(ports))
	return errors.Join(err, f.Close())
}

// Parse reads such as "5,7-9". Port 0, which no socket can have, is passed over.
func Parse(text string) (portsnare.PortSet, error) {
	var ranges []portsnare.PortRange
	for field := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		if rest, ok := strings.CutPrefix(field, "0-"); ok {
			field = "1-" + rest
		}
		if field == "" || field == "0" {
			continue
		}
		r, err := portsnare.ParsePortRange(field + tcp)
		if err != nil {
			return portsnare.PortSet{}, err
		}
		ranges = append(ranges, r)
	}
	return portsnare.NewPortSet(ranges...), nil
}

// Format returns what Parse reads, as the kernel prints it.
func Format(ports portsnare.PortSet) string {
	ranges := ports.Ranges()
	fields := make([]string, len(ranges))
	for i, r := range ranges {
		fields[i] = strings.TrimSuffix(r.String(), tcp)
	}
	return strings.Join(fields, ",") + "\n"
}

// tcp is what the list leaves out of a port's name.
var tcp = "/" + portsnare.TCP.String()

// Of returns ports without a protocol as those of one.
func Of(numbers portsnare.PortSet, protocol portsnare.Protocol) portsnare.PortSet {
	ranges := numbers.Ranges()
	for i := range ranges {
		ranges[i].Protocol = protocol
	}
	return portsnare.NewPortSet(ranges...)
}

// Numbers returns ports as a set of the kernel knows them, without a protocol.
// TCP stands for none.
func Numbers(ports portsnare.PortSet) portsnare.PortSet { return Of(ports, portsnare.TCP) }

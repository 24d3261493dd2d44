//go:build linux

package netlab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Nmap runs the real nmap on the ports, which it probes in an order of its
// own, and adds args to its command line: "-sT", "-r", "-T4". A Rate becomes
// --min-rate; Retries, Timeout and Parallel stay nmap's affair. The error is
// ErrNotInstalled where there is no nmap.
func Nmap(ctx context.Context, ns *Namespace, o ScanOptions, args ...string) (ScanResult, error) {
	line := []string{"-n", "-Pn", "-oX", "-", "-e", o.iface(), "-S", o.Source.String(), "-p", portRanges(o.Ports)}
	if o.Target.Is6() {
		line = append(line, "-6")
	}
	if o.Rate > 0 {
		line = append(line, "--min-rate", strconv.Itoa(o.Rate))
	}
	line = append(append(line, args...), o.Target.String())
	return ns.runScanner(ctx, o, parseNmap, "nmap", line...)
}

// Masscan runs the real masscan on the ports, which it probes in an order of
// its own, and adds args to its command line: "--retries", "2". A Rate of 0 is
// masscan's own, 100 a second. It lingers for two seconds after the last probe.
// Version 1.3.2 overlooks some of the answers that come within microseconds, as
// they do here: FoundAfter has them, Open may not. The error is ErrNotInstalled
// where there is no masscan.
func Masscan(ctx context.Context, ns *Namespace, o ScanOptions, args ...string) (ScanResult, error) {
	if err := installed("masscan"); err != nil {
		return ScanResult{}, err
	}
	router, err := ns.router(ctx, o.Target)
	if err != nil {
		return ScanResult{}, err
	}
	// Version 1.3.2 sees that it is done only when one more packet crosses the
	// interface, and hangs on a silent one.
	ctx, cancel := context.WithCancel(ctx)
	nudged := make(chan struct{})
	go func() { defer close(nudged); router.nudge(ctx) }()
	defer func() { cancel(); <-nudged }()

	routerMAC := "--router-mac"
	if o.Target.Is6() {
		routerMAC = "--router-mac-ipv6"
	}
	line := []string{"-oL", "-", "--wait", "1", "--adapter", o.iface(), "--adapter-ip", o.Source.String(),
		routerMAC, router.mac.String(), "-p", portRanges(o.Ports)}
	if o.Rate > 0 {
		line = append(line, "--rate", strconv.Itoa(o.Rate))
	}
	line = append(append(line, args...), o.Target.String())
	return ns.runScanner(ctx, o, parseMasscan, "masscan", line...)
}

// runScanner runs a real scanner under watch. It reports its open ports on
// standard output, in a form that parse reads.
func (ns *Namespace) runScanner(ctx context.Context, o ScanOptions, parse func([]byte) ([]uint16, error), program string, args ...string) (ScanResult, error) {
	if err := installed(program); err != nil {
		return ScanResult{}, err
	}
	w, err := ns.watch(program, o)
	if err != nil {
		return ScanResult{}, err
	}
	defer w.ring.Close()
	var out []byte
	err = w.during(ctx, func(ctx context.Context) (err error) {
		out, err = ns.Command(ctx, program, args...).Output()
		return err
	})
	if err != nil {
		return w.report(nil), err
	}
	open, err := parse(out)
	return w.report(open), err
}

// parseNmap reads the open ports from nmap's XML.
func parseNmap(out []byte) (open []uint16, err error) {
	var run struct {
		Ports []struct {
			Number uint16 `xml:"portid,attr"`
			State  struct {
				State string `xml:"state,attr"`
			} `xml:"state"`
		} `xml:"host>ports>port"`
	}
	if err := xml.Unmarshal(out, &run); err != nil {
		return nil, fmt.Errorf("read nmap's report: %w", err)
	}
	for _, port := range run.Ports {
		if port.State.State == "open" {
			open = append(open, port.Number)
		}
	}
	return open, nil
}

// parseMasscan reads the open ports from masscan's list, whose lines are
// "open tcp 22 203.0.113.10 1795295051". A port may be there twice.
func parseMasscan(out []byte) (open []uint16, err error) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || fields[0] != "open" || fields[1] != "tcp" {
			continue
		}
		port, err := strconv.ParseUint(fields[2], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("read masscan's report: %w", err)
		}
		open = append(open, uint16(port))
	}
	slices.Sort(open)
	return slices.Compact(open), nil
}

// portRanges writes ports as nmap and masscan take them: "22,80-90". A full
// list of single ports would not fit on a command line.
func portRanges(ports []uint16) string {
	ports = slices.Sorted(slices.Values(ports))
	var b strings.Builder
	for len(ports) > 0 {
		n := 1
		for n < len(ports) && int(ports[n]) == int(ports[0])+n {
			n++
		}
		fmt.Fprintf(&b, ",%d-%d", ports[0], ports[n-1])
		ports = ports[n:]
	}
	return strings.TrimPrefix(b.String(), ",")
}

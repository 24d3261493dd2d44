package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// form is how a single value is written: what is wanted, in words, and how to
// read it.
type form[V any] struct {
	want  string
	parse func(string) (V, error)
}

// read returns the value at n, or false after recording what is wrong with it.
func (f form[V]) read(n node) (V, bool) {
	text, ok := n.text(f.want)
	if !ok {
		var none V
		return none, false
	}
	v, err := f.parse(text)
	if err != nil {
		n.problemf("%s", err)
	}
	return v, err == nil
}

// formOf is a form whose parse says only whether the text fits.
func formOf[V any](want string, parse func(string) (V, bool)) form[V] {
	return form[V]{want, func(s string) (V, error) {
		v, ok := parse(s)
		if !ok {
			return v, fmt.Errorf("%s: want %s", shown(s), want)
		}
		return v, nil
	}}
}

func number(low, high int) form[int] {
	return formOf(fmt.Sprintf("%d to %d", low, high), func(s string) (int, bool) {
		n, err := strconv.Atoi(s)
		return n, err == nil && low <= n && n <= high
	})
}

// share is a part of a whole.
var share = formOf(fmt.Sprintf("0 to %v", placement.MaxKeep), func(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && 0 <= v && v <= placement.MaxKeep
})

// word is one of a few words, each of which stands for a value.
func word[V any](words []string, values ...V) form[V] {
	return formOf(either(words), func(s string) (v V, ok bool) {
		i := slices.Index(words, s)
		if i < 0 {
			return v, false
		}
		return values[i], true
	})
}

var (
	port = form[portsnare.PortRange]{"ports such as 22/tcp", func(s string) (portsnare.PortRange, error) {
		p, err := portsnare.ParsePort(s)
		return p.Range(), err
	}}

	portRange = form[portsnare.PortRange]{"ports such as 25/tcp or 6000-6063/tcp", portsnare.ParsePortRange}

	absolutePath = formOf("an absolute path", func(s string) (string, bool) {
		return s, filepath.IsAbs(s)
	})

	// cloudName is what the operator of a cloud has named something.
	cloudName = formOf("a name without spaces", func(s string) (string, bool) {
		return s, cloudNamePattern.MatchString(s)
	})
)

var (
	cloudNamePattern = regexp.MustCompile(`^[!-~]+$`)
	hostPattern      = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
)

// listenAddress is where to listen, host:port. The host is an IP address, a
// name, or nothing for every address.
var listenAddress = formOf("an address and port to listen on, such as 127.0.0.1:9464", func(s string) (string, bool) {
	host, number, err := net.SplitHostPort(s)
	return s, err == nil && validPort(number) && (host == "" || validHost(host))
})

// linkPort is the port of the link where none is written, that of NATS.
const linkPort = "4222"

var advertised = formOf("a host, or host:port, that agents can reach", func(s string) (string, bool) {
	if !validHost(s) {
		host, number, err := net.SplitHostPort(s)
		return s, err == nil && validPort(number) && validHost(host)
	}
	return net.JoinHostPort(s, linkPort), true
})

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return len(s) <= 253 && hostPattern.MatchString(s)
}

// prefix is a network, all bits behind its length zero, or a single address.
var prefix = form[netip.Prefix]{"addresses or networks such as 192.0.2.7 or 2001:db8::/32", parsePrefix}

// network is a prefix that may be everything.
var network = form[netip.Prefix]{"networks such as 0.0.0.0/0 or 2001:db8::/32", parsePrefix}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" && !addr.Is4In6() {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return p, fmt.Errorf("%s: want an address such as 192.0.2.7 or a network such as 192.0.2.0/24", shown(s))
	case p != p.Masked():
		return p, fmt.Errorf("%s: want the network %s or the address %s", shown(s), p.Masked(), p.Addr())
	}
	return p, nil
}

package embedded

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portsnare/portsnare"
)

// Defaults of the address that the hub listens on.
const (
	DefaultListen = everywhere + ":4222"
	defaultPort   = 4222 // the port of NATS
	// everywhere is every address of both families: package net listens on
	// both where the kernel lets it.
	everywhere = "0.0.0.0"
)

// address is where the hub listens, or where hosts find it.
type address struct {
	host string
	port int // 0 for any when listening, for the hub's own when advertised
}

// parseAddress reads "name", "name:port", "192.0.2.1", "2001:db8::1" and
// "[2001:db8::1]:port". Where there is no port it is the one given.
func parseAddress(s string, port int) (address, error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil { // no port in it
		host, digits = unbracket(s), strconv.Itoa(port)
	}
	number, err := strconv.ParseUint(digits, 10, 16)
	_, notIP := netip.ParseAddr(host)
	if err != nil || host == "" || (notIP != nil && slices.ContainsFunc([]byte(host), notInName)) {
		return address{}, &portsnare.Error{
			Kind: portsnare.Invalid, Op: "read address", Subject: strconv.Quote(s),
			Err: fmt.Errorf("want such as 203.0.113.5:4222 or controller.example.org"),
		}
	}
	return address{host, int(number)}, nil
}

// unbracket turns "[2001:db8::1]" into "2001:db8::1".
func unbracket(s string) string {
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	return s
}

func notInName(c byte) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_'
}

// url returns the form that NATS clients dial.
func (a address) url(port int) string {
	if a.port != 0 {
		port = a.port
	}
	return "tls://" + net.JoinHostPort(a.host, strconv.Itoa(port))
}

// anywhere reports whether a stands for every address of the machine.
func (a address) anywhere() bool {
	ip, err := netip.ParseAddr(a.host)
	return err == nil && ip.IsUnspecified()
}

// addresses is how the hub can be reached.
type addresses struct {
	listen    address
	advertise []address
}

func parseAddresses(listen string, advertise []string) (addresses, error) {
	var all addresses
	var err error
	if listen == "" {
		listen = DefaultListen
	}
	if strings.HasPrefix(listen, ":") {
		listen = everywhere + listen
	}
	if all.listen, err = parseAddress(listen, defaultPort); err != nil {
		return all, err
	}
	for _, text := range advertise {
		a, err := parseAddress(text, 0)
		if err != nil {
			return all, err
		}
		all.advertise = append(all.advertise, a)
	}
	if len(advertise) == 0 && !all.listen.anywhere() {
		all.advertise = []address{{all.listen.host, 0}}
	}
	return all, nil
}

// names returns what the server certificate must be good for.
func (all addresses) names() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	for _, a := range all.advertise {
		names = append(names, a.host)
	}
	if !all.listen.anywhere() {
		names = append(names, all.listen.host)
	}
	return names
}

// local returns the address at which this machine finds its own controller.
func (all addresses) local() address {
	switch ip, err := netip.ParseAddr(all.listen.host); {
	case err == nil && ip.IsUnspecified() && ip.Is6():
		return address{"::1", 0}
	case err == nil && ip.IsUnspecified():
		return address{"127.0.0.1", 0}
	}
	return address{all.listen.host, 0}
}

package failure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/portsnare/portsnare"
)

// What clouds say, as far as it was seen or can be thought of: no port stays.
func TestRedactTakesPorts(t *testing.T) {
	for _, text := range []string{
		// EC2, Neutron, DigitalOcean, Vultr.
		`the specified rule "peer: 0.0.0.0/0, TCP, from port: %d, to port: %d, ALLOW" already exists`,
		"Security group rule already exists. Rule id is b985643f-3424-4e67-9768-8f8e3e9f0112, ports %d to %d",
		"Invalid value for port %d", "Invalid port range %d-%d",
		`inbound_rules[0]: duplicate rule {"protocol":"tcp","ports":"%d-%d"}`,
		`rule already exists for ports "%d:%d"`,
		"This rule is already defined: tcp %d:%d 0.0.0.0/0",
		"rule tcp %d-%d from 0.0.0.0/0 ::/0 stands already",
		// JSON and what looks like it.
		`{"from_port":%d,"to_port":%d}`, `{"FromPort": "%d", "ToPort": "%d"}`, `{"min": %d, "max": %d}`,
		`[%d,%d]`, `{"port_range_min":%d,"port_range_max":%d}`, "FromPort=%d&ToPort=%d", "PortRange: {From: %d, To: %d}",
		"<fromPort>%d</fromPort><toPort>%d</toPort>", `map[from:%d to:%d]`, `\"%d\"`, "ports%%3D%d%%3A%d",
		// Ranges.
		"%d-%d", "%d:%d", "%d..%d", "%d – %d", "%d — %d", "%d~%d", "%d,%d", "%d, %d", "%d to %d", "%d through %d",
		"between %d and %d", "[%d..%d)", "(%d, %d)", "%d/%d", "%d|%d", "%d;%d", "%d_%d", "%d::%d", "%d\t%d", "%d\n%d",
		"maximum: %d", "max %d", "minimum %d maximum %d", "port limit %d", "error %d", "number %d",
		// Glued.
		"tcp/%d", "%d/tcp", "tcp:%d", "%d:tcp", "tcp%d", "%dtcp", "port%d", "ports-%d-%d", "tcp-%d-%d", "p%d", "from%dto%d",
		"TCP_%d_%d", "udp.%d", "#%d", "=%d", "%d.", "'%d'", "`%d`", "*:%d", ":%d", "0%d", "00%d", "dport %d", "range%d",
		"trap %d", "trap%d",
		// With addresses.
		"0.0.0.0/0:%d", "192.0.2.1:%d", "[2001:db8::1]:%d", "::/0 %d", "[::]:%d", "192.0.2.0/24 tcp %d-%d", "https://api.invalid:%d/",
		"192.0.2.1:%d->198.51.100.2:%d",
		// Beside what is kept.
		"tcp %d rules", "port %d entries", "udp %d-%d rules", "%d-%d rules", "status %d-%d", "quota of ports %d",
		"HTTP/1.1 port %d", "2026-11-27T23:24:00Z %d", "id sg-0f3a9c1d2e4b5a687 %d",
	} {
		for _, ports := range [][2]int{{8000, 8009}, {39172, 40001}, {65535, 65534}, {1023, 1024}} {
			args := []any{ports[0], ports[1]}[:strings.Count(strings.ReplaceAll(text, "%%", ""), "%d")]
			said := fmt.Sprintf(text, args...)
			got := redact(said, nil)
			for _, port := range ports {
				if strings.Contains(got, fmt.Sprint(port)) {
					t.Errorf("%q became %q, with %d in it", said, got, port)
				}
			}
		}
	}
	for _, text := range []string{"port 22", "22/tcp", "tcp 443", "ports 80-443", "80:443", "from port: 80, to port: 90", "8,000-8,009", "tcp port 0x1f40", "TCP 80,443"} {
		if got := redact(text, nil); strings.ContainsAny(strings.ReplaceAll(got, Port, ""), "123456789") {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// What a person needs stays.
func TestRedactKeeps(t *testing.T) {
	for _, text := range []string{
		"sg-0f3a9c1d2e4b5a687", "sgr-0123456789abcdef0", "sg-12345678", "sgr-1",
		"b985643f-3424-4e67-9768-8f8e3e9f0112", "bb4b2611-3d72-4670-8602-280330ecd650",
		"account 123456789012", "L-0EA8095F", "AKIAIOSFODNN7EXAMPLE", "request 7f3a8000b2", "us-east-1", "ap-northeast-1", "nyc3",
		"rule id 17", "rule_id: 4711", `"id": 17`, "Rule id is 8",
		"the limit is 60", "limit of 60", "quota 100", "at most 50 rules", "60 rules", "59 of 60 rules", "100 inbound rules",
		"you may have 25 firewall rules", "try again in 7 seconds", "no answer within 20s", "250 requests", "a maximum of 1000",
		"HTTP status 422", "status code: 503", "StatusCode: 400", "HTTP/1.1", "HTTP 429", "error code: 1234",
		"0.0.0.0/0", "192.0.2.0/24", "::/0", "2001:db8::/32", "2001:db8::1", "fe80::1234:56ff:fe78:9abc", "IPv4", "IPv6", "x509", "EC2", "v2",
		"2026-11-27T23:24:00Z", "current time 2026-11-27T23:24:00+09:00 is after 2025-01-02", "Fri, 27 Nov 2026 23:24:00",
		"no port here", "",
	} {
		if got := redact(text, nil); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestNew(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8443}, Err: syscall.ECONNREFUSED}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("rule 8000-8009 stands already"), "open in fw: rule <port>-<port> stands already"},
		{Say("rule 8000 stands already", nil).Add(" (HTTP status %d)", 422), "open in fw: rule <port> stands already (HTTP status 422)"},
		{Ownf("rule %s of %d is gone", "8000", 9), "open in fw: rule 8000 of 9 is gone"},
		{Ownf("read %q: %w", "fw", errors.New("at port 8000")), `open in fw: read "fw": at port <port>`},
		{&url.Error{Op: "Get", URL: "https://192.0.2.7:8443/v2/firewalls", Err: refused},
			`open in fw: Get "https://192.0.2.7:8443/v2/firewalls": dial tcp 192.0.2.7:8443: connection refused`},
		{nil, "open in fw: conflict"},
	} {
		e := New(portsnare.Conflict, "open in", "fw", tt.err, "hint")
		if e.Error() != tt.want || e.Kind != portsnare.Conflict || e.Hint != "hint" {
			t.Errorf("got %q (%s, %s), want %q", e, e.Kind, e.Hint, tt.want)
		}
		if tt.err != nil && !errors.Is(e, tt.err) {
			t.Errorf("%q does not unwrap to its cause", e)
		}
	}
	if e := New(portsnare.Transient, "", "", Own("no answer", context.DeadlineExceeded), ""); !errors.Is(e, context.DeadlineExceeded) || e.Error() != "no answer" {
		t.Errorf("%v does not unwrap to its cause", e)
	}
	if e := New(portsnare.Transient, "", "", Ownf("at last: %w", context.Canceled), ""); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not unwrap to its cause", e)
	}
}

// However a text is made of what is kept and what is not, no port stays, and
// what was taken out once is not found again.
func FuzzRedact(f *testing.F) {
	f.Add("rule ", " exists")
	f.Add("limit:", "-")
	f.Add("0.0.0.0/0:", "/tcp")
	f.Fuzz(func(t *testing.T, before, behind string) {
		text := before + "port 39172 (tcp)" + behind
		got := redact(text, nil)
		if strings.Count(got, "39172") > strings.Count(before+behind, "39172") {
			t.Errorf("%q became %q", text, got)
		}
		if again := redact(got, nil); strings.Count(again, Port) < strings.Count(got, Port) {
			t.Errorf("%q became %q, then %q", text, got, again)
		}
	})
}

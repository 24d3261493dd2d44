package hostagent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// table is a file below /proc/net with a heading, or without one.
func table(heading string, lines ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(heading + strings.Join(lines, "\n") + "\n")}
}

const socketHeading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func TestListening(t *testing.T) {
	for _, test := range []struct {
		name string
		proc fstest.MapFS
		want string
	}{
		{"no IPv6", fstest.MapFS{
			"tcp": table(socketHeading, "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1129 1"),
			"udp": table(socketHeading),
		}, "22/tcp"},
		{"listening for itself", fstest.MapFS{
			"tcp": table(socketHeading, "   0: 0100007F:0CEA 00000000:0000 0A", "   1: FEFFFF7F:0CEB 00000000:0000 0A"),
			"tcp6": table(socketHeading,
				"   0: 00000000000000000000000001000000:0CEC 00000000000000000000000000000000:0000 0A",
				"   1: 0000000000000000FFFF00000100007F:0CED 00000000000000000000000000000000:0000 0A"),
		}, ""},
		{"listening, established, waiting", fstest.MapFS{
			"tcp": table(socketHeading,
				"   0: 0100A8C0:0CEA 00000000:0000 0A",
				"   1: 0100A8C0:0050 0200A8C0:C000 01",
				"   2: 0100A8C0:0051 0200A8C0:C001 06"),
			"tcp6": table(socketHeading, "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A"),
		}, "443/tcp,3306/tcp"},
		{"unconnected and connected", fstest.MapFS{
			"udp":  table(socketHeading, "  10: 00000000:0044 00000000:0000 07", "  11: 0100A8C0:A000 0200A8C0:0035 01"),
			"udp6": table(socketHeading, "  12: 00000000000000000000000000000000:14E9 00000000000000000000000000000000:0000 07"),
		}, "68/udp,5353/udp"},
		{"a raw socket has no port", fstest.MapFS{
			"udp": table(socketHeading, "  10: 00000000:0000 00000000:0000 07"),
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := listening(test.proc)
			if err != nil || got.String() != test.want {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestListeningDamaged(t *testing.T) {
	for _, line := range []string{"0:", "0: 00000000:XYZ 00000000:0000 0A", "0: 00000000 00000000 0A", "0: a:12345 b:0 0A", "0: 00:0016 b:0 0A", "0: 0000000Z:0016 b:0 0A"} {
		if got, err := listening(fstest.MapFS{"tcp": table("", line)}); err == nil {
			t.Errorf("line %q was read as %s", line, got)
		}
	}
}

func TestGateways(t *testing.T) {
	got, err := gateways(fstest.MapFS{
		"route": table("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n",
			"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
			"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"),
		"ipv6_route": table("",
			"20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0",
			"fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001     eth0",
			"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000003 00000000 00000003     eth0"),
	})
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestGatewaysDamaged(t *testing.T) {
	for name, line := range map[string]string{
		"route":      "eth0 00000000 XYZ 0003",
		"ipv6_route": "0 0 0 0 fe80 0 0 0 00000003 eth0",
	} {
		if got, err := gateways(fstest.MapFS{name: table("", line)}); err == nil {
			t.Errorf("%s: line %q was read as %v", name, line, got)
		}
		if got, err := gateways(fstest.MapFS{name: table("", "x")}); err == nil {
			t.Errorf("%s: short line was read as %v", name, got)
		}
	}
}

// What runs here is what the kernel says.
func TestProcOfThisKernel(t *testing.T) {
	if _, err := Listening(); err != nil {
		t.Error(err)
	}
	if _, err := Gateways(); err != nil {
		t.Error(err)
	}
}

func FuzzListening(f *testing.F) {
	f.Add("   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1129 1")
	f.Add("0:\n\n1: a:b c:d 0A")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := listening(fstest.MapFS{"tcp": table("", text), "udp6": table(socketHeading, text)})
		if err != nil {
			return
		}
		for port := range got.All() {
			if port.Number == 0 {
				t.Errorf("%q holds port 0", text)
			}
		}
	})
}

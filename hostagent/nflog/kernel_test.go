package nflog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

const group = 5709

// noon is what the clock of every reader shows.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// server is a server that logs SYNs and UDP as hits, and SYNs to port 7 as bans.
func server(t *testing.T) *netlab.Topology {
	t.Helper()
	top := netlab.New(t).Topology()
	for _, tool := range []string{"iptables-restore", "ip6tables-restore"} {
		cmd := top.Server.Command(t.Context(), tool)
		log := " -j NFLOG --nflog-group " + strconv.Itoa(group) + " --nflog-size 128 --nflog-prefix "
		cmd.Stdin = strings.NewReader("*raw\n" +
			"-A PREROUTING -p tcp --dport 7" + log + strconv.Quote(kernel.LogBan) + "\n" +
			"-A PREROUTING -p tcp ! --dport 7" + log + strconv.Quote(kernel.LogHit) + "\n" +
			"-A PREROUTING -p udp" + log + strconv.Quote(kernel.LogHit) + "\n" +
			"-A PREROUTING -p tcp --dport 9" + log + "\"of somebody else\"\n" +
			"-A PREROUTING -p tcp -j DROP\nCOMMIT\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return top
}

// start runs a reader on the server until the function it returns is called,
// which returns the error of Run.
func start(t *testing.T, top *netlab.Topology, r *Reader, each func(kernel.Sighting)) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- top.Server.Do(func() error { return r.Run(ctx, each) })
	}()
	for !bound(t, top) {
		select {
		case err := <-done:
			t.Fatalf("Run: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	return func() error { cancel(); return <-done }
}

// bound reports whether the group has a reader.
func bound(t *testing.T, top *netlab.Topology) bool {
	t.Helper()
	var list []byte
	err := top.Server.Do(func() (err error) {
		list, err = os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_log")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.HasPrefix(bytes.TrimSpace(list), []byte(strconv.Itoa(group)))
}

func TestSightings(t *testing.T) {
	top := server(t)
	seen := make(chan kernel.Sighting, 100)
	stop := start(t, top, New(Options{Group: group, Now: func() time.Time { return noon }}), func(s kernel.Sighting) { seen <- s })

	from4, from6 := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8:51:5::7")
	to := func(p netlab.Packet, from netip.Addr) netlab.Packet {
		p.Src, p.Dst, p.SrcPort = from, netlab.ServerAddr4, 40000
		if from.Is6() {
			p.Dst = netlab.ServerAddr6
		}
		return p
	}
	var want []kernel.Sighting
	for _, from := range []netip.Addr{from4, from6} {
		for _, port := range []uint16{8000, 65535, 7, 9} {
			if err := top.Scanner.Send(to(netlab.Packet{DstPort: port, Flags: netlab.SYN}, from)); err != nil {
				t.Fatal(err)
			}
			want = append(want, kernel.Sighting{Ban: port == 7, Source: from, Port: portsnare.Port{Protocol: portsnare.TCP, Number: port}, At: noon})
		}
		if err := top.Scanner.Send(to(netlab.Packet{Proto: netlab.UDP, DstPort: 53}, from)); err != nil {
			t.Fatal(err)
		}
		want = append(want, kernel.Sighting{Source: from, Port: portsnare.Port{Protocol: portsnare.UDP, Number: 53}, At: noon})
	}
	for _, w := range want {
		if diff := cmp.Diff(w, <-seen, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("sighting (-want +got):\n%s", diff)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Run after its context ended: %v", err)
	}
	if bound(t, top) {
		t.Error("the group is still bound")
	}
}

// TestOverrun: who does not read loses sightings, is told how many, and goes on.
func TestOverrun(t *testing.T) {
	top := server(t)
	var got atomic.Uint64
	hold, last := make(chan struct{}), make(chan struct{}, 1)
	var log bytes.Buffer
	r := New(Options{Group: group, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	stop := start(t, top, r, func(s kernel.Sighting) {
		<-hold
		got.Add(1)
		if s.Port.Number == 2 {
			select {
			case last <- struct{}{}:
			default:
			}
		}
	})
	sender, err := top.Scanner.NewSender()
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	const sent = 100_000
	packet := netlab.Packet{Src: netlab.ScannerAddr4, Dst: netlab.ServerAddr4, SrcPort: 40000, DstPort: 1, Flags: netlab.SYN}
	for range sent {
		if err := sender.Send(packet); err != nil {
			t.Fatal(err)
		}
	}
	if err := top.Fence(t.Context(), netlab.ScannerAddr4); err != nil {
		t.Fatal(err)
	}
	close(hold)
	packet.DstPort = 2
	for ticker := time.NewTicker(time.Millisecond); ; { // until the reader has room again
		if err := sender.Send(packet); err != nil {
			t.Fatal(err)
		}
		select {
		case <-last:
		case <-ticker.C:
			continue
		}
		ticker.Stop()
		break
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if r.Lost() == 0 || got.Load()+r.Lost() < sent {
		t.Errorf("%d of %d read and %d lost, want some lost and none forgotten", got.Load(), sent, r.Lost())
	}
	if !strings.Contains(log.String(), "sightings lost") {
		t.Errorf("log %q, want a word about the loss", log.String())
	}
}

func TestGroupTaken(t *testing.T) {
	top := server(t)
	stop := start(t, top, New(Options{Group: group}), func(kernel.Sighting) {})
	defer stop()
	err := top.Server.Do(func() error {
		return New(Options{Group: group}).Run(t.Context(), func(kernel.Sighting) {})
	})
	if !errors.Is(err, portsnare.Conflict) || portsnare.HintOf(err) == "" {
		t.Errorf("second reader: %v, want a conflict and a hint", err)
	}
}

func TestMissingPrivilege(t *testing.T) {
	netlab.New(t)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: this thread has nothing more to say
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
		}
		done <- New(Options{Group: group}).Run(t.Context(), func(kernel.Sighting) {})
	}()
	if err := <-done; !errors.Is(err, portsnare.Denied) || !strings.Contains(portsnare.HintOf(err), "CAP_NET_ADMIN") {
		t.Errorf("Run: %v (%s), want denied and a hint", err, portsnare.HintOf(err))
	}
}

package hostagent

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// bindTo binds a socket to an interface.
func bindTo(device string) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if device == "" {
			return nil
		}
		if controlErr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) }); controlErr != nil {
			return controlErr
		}
		return err
	}
}

// TestListeningSockets: real sockets of all kinds, as both readers see them.
func TestListeningSockets(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	if err := ns.Do(func() error {
		for _, socket := range []struct{ network, address, device string }{
			{"tcp4", "0.0.0.0:1001", ""},
			{"tcp6", "[::]:1002", ""},
			{"tcp", "[::]:1003", ""}, // both families
			{"tcp4", "127.0.0.1:1004", ""},
			{"tcp4", "127.8.9.10:1005", ""},
			{"tcp6", "[::1]:1006", ""},
			{"tcp4", "0.0.0.0:1008", "lo"},
			{"tcp6", "[::]:1009", "lo"},
			{"udp4", "0.0.0.0:2001", ""},
			{"udp6", "[::]:2002", ""},
			{"udp4", "127.0.0.1:2003", ""},
			{"udp6", "[::1]:2004", ""},
			{"udp4", "0.0.0.0:2005", "lo"},
		} {
			config := net.ListenConfig{Control: bindTo(socket.device)}
			var err error
			var open interface{ Close() error }
			if socket.network[0] == 't' {
				open, err = config.Listen(t.Context(), socket.network, socket.address)
			} else {
				open, err = config.ListenPacket(t.Context(), socket.network, socket.address)
			}
			if err != nil {
				return err
			}
			defer open.Close()
		}
		mapped, err := listenMapped(1007)
		if err != nil {
			return err
		}
		defer unix.Close(mapped)
		connected, err := net.Dial("udp4", "127.0.0.1:2001") // neither end of it waits
		if err != nil {
			return err
		}
		defer connected.Close()
		established, err := net.Dial("tcp4", "127.0.0.1:1001")
		if err != nil {
			return err
		}
		defer established.Close()

		const want = "1001-1003/tcp,2001-2002/udp"
		if got, err := Listening(); err != nil || got.String() != want {
			t.Errorf("Listening = %s, %v; want %s", got, err, want)
		}
		if got, err := diagnosed(); err != nil || got.String() != want {
			t.Errorf("over netlink: %s, %v; want %s", got, err, want)
		}
		const wantProc = "1001-1003/tcp,1008-1009/tcp,2001-2002/udp,2005/udp"
		if got, err := listening(os.DirFS("/proc/thread-self/net")); err != nil || got.String() != wantProc {
			t.Errorf("from /proc: %s, %v; want %s", got, err, wantProc)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// listenMapped listens on 127.0.0.1 with a socket of IPv6, which package net does not.
func listenMapped(port int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fd, err
	}
	addr := netip.MustParseAddr("::ffff:127.0.0.1").As16()
	if err = unix.Bind(fd, &unix.SockaddrInet6{Port: port, Addr: addr}); err == nil {
		err = unix.Listen(fd, 1)
	}
	return fd, err
}

func TestParseDiag(t *testing.T) {
	if _, _, err := parseDiag(make([]byte, diagAnswerSize-1)); err == nil {
		t.Error("half a socket was read")
	}
	answer := make([]byte, diagAnswerSize)
	answer[0] = unix.AF_INET
	if _, open, err := parseDiag(answer); open || err != nil {
		t.Errorf("port 0: %t, %v; want no port", open, err)
	}
	binary.BigEndian.PutUint16(answer[4:], 443)
	if port, open, err := parseDiag(answer); port != 443 || !open || err != nil {
		t.Errorf("got %d, %t, %v; want 443", port, open, err)
	}
}

// crowd makes established connections over the loopback, up to n sockets, and
// returns how many there are.
func crowd(ctx context.Context, n int) (sockets int, end func(), err error) {
	var open []net.Conn
	end = func() {
		for _, c := range open {
			c.Close()
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:9")
	if err != nil {
		return 0, end, err
	}
	defer listener.Close()
	for i := 0; len(open)+2 <= n; i++ {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/20000))}, Timeout: 5 * time.Second}
		here, err := dialer.DialContext(ctx, "tcp4", "127.0.0.1:9")
		if err != nil {
			break // this is all that the machine gives
		}
		there, err := listener.Accept()
		if err != nil {
			here.Close()
			break
		}
		open = append(open, here, there)
	}
	return len(open), end, nil
}

// BenchmarkListening reads the waiting sockets of a host with as many established
// connections as the limits allow, up to 100,000 sockets.
func BenchmarkListening(b *testing.B) {
	ns := netlab.New(b).Namespace("crowd")
	for _, reader := range []struct {
		name string
		read func() (portsnare.PortSet, error)
	}{
		{"netlink", diagnosed},
		{"proc", func() (portsnare.PortSet, error) { return listening(os.DirFS("/proc/thread-self/net")) }},
	} {
		b.Run(reader.name, func(b *testing.B) {
			err := ns.Do(func() error {
				n, end, err := crowd(b.Context(), 100_000)
				defer end()
				if err != nil {
					return err
				}
				for b.Loop() {
					if _, err := reader.read(); err != nil {
						return err
					}
				}
				b.ReportMetric(float64(n), "sockets")
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

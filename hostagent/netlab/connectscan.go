//go:build linux

package netlab

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// connectBurst is how many connections are begun before answers are looked at.
const connectBurst = 256

// ConnectScan opens a connection to every port and closes it again, like
// RustScan and nmap -sT: thousands are tried at once, each from a port of its
// own, and the kernel repeats a SYN that stays unanswered for a second. When ctx
// ends first, the result so far comes with the error.
func ConnectScan(ctx context.Context, ns *Namespace, o ScanOptions) (ScanResult, error) {
	w, err := ns.watch("connect", o)
	if err != nil {
		return ScanResult{}, err
	}
	defer w.ring.Close()
	c := &connector{o: o, live: map[int]attempt{}}
	err = w.rounds(ctx, 0, func(ctx context.Context, ports []uint16) error {
		return ns.Do(func() error { return c.scan(ctx, ports) })
	})
	return w.report(c.open), err
}

// connector connects to many ports at once, on one thread.
type connector struct {
	o     ScanOptions
	epoll int
	live  map[int]attempt // by descriptor
	queue []attempt       // oldest first; those no longer live are stale
	open  []uint16
}

// attempt is one connection tried; began tells it from an earlier one whose
// descriptor it got.
type attempt struct {
	fd    int
	port  uint16
	began time.Time
}

// scan tries every port once.
func (c *connector) scan(ctx context.Context, ports []uint16) (err error) {
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(c.epoll)
	defer c.abandon()
	parallel, err := c.parallel()
	if err != nil {
		return err
	}
	start := time.Now()
	for next := 0; next < len(ports) || len(c.live) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		for range connectBurst {
			if next == len(ports) || len(c.live) == parallel || time.Now().Before(c.o.due(start, next)) {
				break
			}
			if err := c.begin(ports[next]); err != nil {
				return err
			}
			next++
		}
		if err := c.collect(); err != nil {
			return err
		}
	}
	return nil
}

// parallel is the number of connections tried at once, within what this
// process may have open.
func (c *connector) parallel() (int, error) {
	want := c.o.Parallel
	if want == 0 {
		want = scanParallel
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return max(1, min(want, int(limit.Cur)-256)), nil // 256 for everybody else
}

// begin tries one port.
func (c *connector) begin(port uint16) error {
	fd, err := connect(c.o.Source, netip.AddrPortFrom(c.o.Target, port))
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) {
		return nil
	}
	if err != nil {
		return err
	}
	a := attempt{fd, port, time.Now()}
	c.live[fd] = a
	c.queue = append(c.queue, a)
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(fd)})
}

// collect waits up to a millisecond for answers and gives up what is overdue.
func (c *connector) collect() error {
	var events [256]unix.EpollEvent
	n, err := unix.EpollWait(c.epoll, events[:], 1)
	if err != nil && err != unix.EINTR {
		return err
	}
	for i := range max(n, 0) {
		if a, live := c.live[int(events[i].Fd)]; live {
			c.answered(a)
		}
	}
	for overdue := time.Now().Add(-c.o.timeout()); len(c.queue) > 0; c.queue = c.queue[1:] {
		a := c.queue[0]
		if c.live[a.fd] != a {
			continue
		}
		if a.began.After(overdue) {
			break
		}
		c.end(a)
	}
	return nil
}

// answered ends an attempt that came to something. A port that accepts and at
// once resets is open as well.
func (c *connector) answered(a attempt) {
	code, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && (code == 0 || unix.Errno(code) == unix.ECONNRESET || unix.Errno(code) == unix.EPIPE) {
		c.open = append(c.open, a.port)
	}
	c.end(a)
}

func (c *connector) end(a attempt) {
	delete(c.live, a.fd)
	unix.Close(a.fd)
}

// abandon closes what an early return left.
func (c *connector) abandon() {
	for fd := range c.live {
		unix.Close(fd)
	}
	clear(c.live)
	c.queue = nil
}

// connect starts to connect and does not wait.
func connect(from netip.Addr, to netip.AddrPort) (fd int, err error) {
	family := unix.AF_INET
	if from.Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// The port is then chosen by connect, which may reuse it for other targets.
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err == nil {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0)))
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(to))
	}
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

//go:build linux

package netlab

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Sender sends forged packets from a namespace, whatever their source address
// says. It is for one goroutine.
type Sender struct {
	name   string
	v4, v6 int
	buf    []byte
}

// NewSender opens the raw sockets. The caller must Close it.
func (ns *Namespace) NewSender() (*Sender, error) {
	s := &Sender{name: ns.Name, v4: -1, v6: -1}
	err := ns.Do(func() (err error) {
		// IPPROTO_RAW: the IP header is ours to write, for both families.
		if s.v4, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		s.v6, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		s.Close()
		return nil, ns.wrap("open raw socket in", err)
	}
	return s, nil
}

// Close closes the raw sockets.
func (s *Sender) Close() error {
	return errors.Join(closeFD(s.v4), closeFD(s.v6))
}

// Send sends one packet along the route to its destination.
func (s *Sender) Send(p Packet) (err error) {
	s.buf = p.appendIP(s.buf[:0])
	if p.Dst.Is4() {
		err = unix.Sendto(s.v4, s.buf, 0, &unix.SockaddrInet4{Addr: p.Dst.As4()})
	} else {
		err = unix.Sendto(s.v6, s.buf, 0, &unix.SockaddrInet6{Addr: p.Dst.As16()})
	}
	if err != nil {
		return fmt.Errorf("send %s from %s: %w", p, s.name, err)
	}
	return nil
}

// Send sends a few packets; for many, NewSender keeps the sockets open.
func (ns *Namespace) Send(packets ...Packet) error {
	s, err := ns.NewSender()
	if err != nil {
		return err
	}
	defer s.Close()
	for _, p := range packets {
		if err := s.Send(p); err != nil {
			return err
		}
	}
	return nil
}

// closeFD closes a descriptor, unless it was never opened.
func closeFD(fd int) error {
	if fd < 0 {
		return nil
	}
	return unix.Close(fd)
}

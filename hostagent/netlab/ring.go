//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of a ring. A frame holds the headers and the first 150 bytes or so of
// what they carry. The kernel writes; nothing is lost while unread frames fit.
const (
	frameSize = 256
	blockSize = 1 << 20
	ringSize  = 32 << 20 // 131,072 packets: a full scan and all its answers
	smallRing = 4 << 20
)

// ring is a packet(7) socket on one interface whose packets, in both
// directions, lie in memory shared with the kernel. No goroutine is needed to
// fetch them, and what has crossed the interface is there to be seen.
type ring struct {
	iface  string // namespace/interface, for messages
	file   *os.File
	conn   syscall.RawConn
	memory []byte
	next   int // the frame to read next
	lost   uint32
}

func (ns *Namespace) openRing(iface string, size int) (*ring, error) {
	r := &ring{iface: ns.Name + "/" + iface}
	link, err := ns.link(iface)
	if err != nil {
		return nil, err
	}
	err = ns.Do(func() error { return r.open(link.Attrs().Index, size) })
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("capture on %s: %w", r.iface, err)
	}
	return r, nil
}

// open makes the socket for no protocol, so that it stays empty until it is
// bound to the one interface.
func (r *ring) open(ifindex, size int) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	r.file = os.NewFile(uintptr(fd), "packet socket")
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return err
	}
	err = unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{
		Block_size: blockSize, Block_nr: uint32(size / blockSize),
		Frame_size: frameSize, Frame_nr: uint32(size / frameSize),
	})
	if err != nil {
		return err
	}
	r.memory, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifindex})
}

// Close closes the socket and gives the memory back.
func (r *ring) Close() error {
	var errs []error
	if r.memory != nil {
		errs = append(errs, unix.Munmap(r.memory))
		r.memory = nil
	}
	if r.file != nil {
		errs = append(errs, r.file.Close())
	}
	return errors.Join(errs...)
}

// drain hands every packet that waits in the ring to see, in order, and fails
// if the kernel ever found the ring full.
func (r *ring) drain(see func(Packet)) error {
	for {
		frame := r.memory[r.next*frameSize:][:frameSize]
		header := (*unix.Tpacket2Hdr)(unsafe.Pointer(&frame[0]))
		if atomic.LoadUint32(&header.Status)&unix.TP_STATUS_USER == 0 {
			return r.checkLoss()
		}
		if p, ok := parseFrame(frame, header); ok {
			see(p)
		}
		atomic.StoreUint32(&header.Status, unix.TP_STATUS_KERNEL)
		r.next = (r.next + 1) % (len(r.memory) / frameSize)
	}
}

// wait calls done at once and again after packets arrived, until it returns
// true, and fails if ctx ends first.
func (r *ring) wait(ctx context.Context, done func() bool) error {
	stop := context.AfterFunc(ctx, func() { r.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		// A deadline may be left from an earlier wait, so it proves nothing.
		if err := r.file.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := r.conn.Read(func(uintptr) bool { return done() })
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// checkLoss reads the socket's counters, which reading sets to zero.
func (r *ring) checkLoss() error {
	var stats *unix.TpacketStats
	var err error
	if ctl := r.conn.Control(func(fd uintptr) {
		stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	}); ctl != nil || err != nil {
		return fmt.Errorf("read counters of capture on %s: %w", r.iface, errors.Join(ctl, err))
	}
	if r.lost += stats.Drops; r.lost > 0 {
		return fmt.Errorf("capture on %s lost %d packets", r.iface, r.lost)
	}
	return nil
}

// parseFrame reads one frame: the ring's header, the link-level address and the
// packet.
func parseFrame(frame []byte, header *unix.Tpacket2Hdr) (Packet, bool) {
	link := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&frame[unix.SizeofTpacket2Hdr]))
	packet := cut(frame, int(header.Net), int(header.Net)+int(header.Snaplen))
	p, ok := parseIP(packet)
	if !ok {
		return p, false
	}
	p.Payload = append([]byte(nil), p.Payload...) // the frame goes back to the kernel
	p.Outgoing = link.Pkttype == unix.PACKET_OUTGOING
	p.Time = time.Unix(int64(header.Sec), int64(header.Nsec))
	return p, true
}

// htons is the port or protocol n as the kernel wants it, in network order.
func htons(n uint16) uint16 {
	b := [2]byte{byte(n >> 8), byte(n)}
	return *(*uint16)(unsafe.Pointer(&b))
}

// Package nflog reads what the kernel program logs: a hit for each first packet
// of a source to a trap, and the hit that made a ban. It speaks nfnetlink_log,
// as set out in the kernel's include/uapi/linux/netfilter/nfnetlink_log.h, and
// understands the first bytes of IPv4 and IPv6 packets.
package nflog

import (
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// Options are the choices of a [Reader].
type Options struct {
	Group  uint16           // NFLOG group that the rules log to
	Now    func() time.Time // the clock; time.Now if nil
	Logger *slog.Logger     // told of sightings that were lost; nobody if nil
}

// Reader reads the sightings of one NFLOG group, of the network namespace in
// which Run is called.
type Reader struct {
	opts Options
	lost atomic.Uint64
}

// New returns a reader. It opens nothing before Run.
func New(opts Options) *Reader {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Reader{opts: opts}
}

// Lost returns how many logged packets never became a sighting: because nobody
// read while the kernel's buffer ran over, or because the port lay beyond what
// the kernel logs of a packet. Bans are in force all the same.
func (r *Reader) Lost() uint64 { return r.lost.Load() }

// Run calls each with one sighting after the other, in the order in which the
// kernel saw them, until ctx ends, which is no error. Sightings of a time
// before Run are gone. Only one Run may be active.
//
// An error is of kind [portsnare.Denied] without CAP_NET_ADMIN,
// [portsnare.Conflict] if another program reads the group, and
// [portsnare.Unavailable] if the kernel cannot log to a program.
func (r *Reader) Run(ctx context.Context, each func(kernel.Sighting)) error {
	conn, err := r.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var sequence sequence
	for {
		messages, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // the sequence tells how many were lost
			continue
		case err != nil:
			return r.wrap(portsnare.Transient, err, "")
		}
		now := r.opts.Now()
		for _, m := range messages {
			r.deliver(m, now, &sequence, each)
		}
	}
}

// deliver hands one logged packet over.
func (r *Reader) deliver(m netlink.Message, now time.Time, seen *sequence, each func(kernel.Sighting)) {
	if m.Header.Type != messagePacket {
		return // the end of a batch
	}
	e, ok := decode(m.Data)
	if !ok {
		return
	}
	r.lose(seen.gap(e.sequence))
	if !e.ours {
		return
	}
	source, port, ok := parsePacket(e.packet)
	if !ok {
		r.lose(1)
		return
	}
	each(kernel.Sighting{Ban: e.ban, Source: source, Port: port, At: now})
}

// lose counts, and says so each time the count has doubled.
func (r *Reader) lose(n uint32) {
	total := r.lost.Add(uint64(n))
	if bits.Len64(total) > bits.Len64(total-uint64(n)) {
		r.opts.Logger.Warn("sightings lost", "lost", total)
	}
}

// dial opens the socket and binds the group.
func (r *Reader) dial() (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, r.wrap(portsnare.Unavailable, err, "modprobe nfnetlink_log")
	}
	if err := r.bind(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (r *Reader) bind(conn *netlink.Conn) error {
	if err := conn.SetReadBuffer(readBuffer); err != nil {
		return r.wrap(portsnare.Unavailable, err, "")
	}
	_, err := conn.Execute(bindMessage(r.opts.Group))
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrPermission):
		return r.wrap(portsnare.Unavailable, err, "modprobe nfnetlink_log")
	case !host.NetAdmin():
		return r.wrap(portsnare.Denied, err, "run as root, or with CAP_NET_ADMIN")
	}
	// The kernel says no less of a group that has a reader.
	return r.wrap(portsnare.Conflict, errors.New("another program reads it"),
		"stop the other agent, or whatever reads this group: /proc/net/netfilter/nfnetlink_log has its port id")
}

func (r *Reader) wrap(kind portsnare.Kind, err error, hint string) error {
	group := strconv.Itoa(int(r.opts.Group))
	return &portsnare.Error{Kind: kind, Op: "read NFLOG group", Subject: group, Err: err, Hint: hint}
}

// sequence finds gaps in the kernel's numbering of what it logged.
type sequence struct {
	next    uint32
	started bool
}

// gap returns how many numbers are missing before n.
func (s *sequence) gap(n uint32) uint32 {
	missing := n - s.next
	if !s.started {
		missing = 0
	}
	s.next, s.started = n+1, true
	return missing
}

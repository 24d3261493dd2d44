package kerneltest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// reserved returns the ports that the server's kernel gives to nobody who asks
// for any.
func (w *world) reserved() string {
	w.t.Helper()
	return strings.TrimSpace(w.output("cat", localports.Path))
}

// TestReservedBelongsToOthersToo: what stood there before a trap came is left
// there when the trap goes.
func TestReservedBelongsToOthersToo(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		steps := []struct{ others, traps, want string }{
			{"1003,5000", "1001-1004/tcp", "1001-1004,5000"},
			{"", "1004-1005/tcp,7/udp", "7,1003-1005,5000"},
			{"6000", "1004-1005/tcp", "1004-1005,6000"},
		}
		for _, step := range steps {
			if step.others != "" {
				w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", step.others))
			}
			order := w.order()
			order.Traps = portsnare.Traps{Secret: w.ports(step.traps)}
			w.set(order)
			if got := w.reserved(); got != step.want {
				t.Errorf("reserved ports %q, want %q", got, step.want)
			}
		}
		w.do(w.b.Flush)
		if got := w.reserved(); got != "6000" {
			t.Errorf("reserved ports after Flush %q, want those of others", got)
		}
		w.record("State", "ip_local_reserved_ports, changed by others too", "traps added, and taken out again")
	})
}

// TestManyReserved: the list is longer than what the kernel takes or gives out
// in one piece.
func TestManyReserved(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		var traps []portsnare.Port
		for n := uint16(1025); n < 60_000; n += 3 {
			traps = append(traps, portsnare.Port{Protocol: portsnare.TCP, Number: n})
		}
		order := w.order()
		order.Protected = w.ports(portText(22))
		order.Public = portsnare.PortSet{}
		order.Traps = portsnare.Traps{Secret: portsnare.PortSetOf(traps...)}
		w.set(order)
		w.do(func(context.Context) error {
			got, err := localports.Read(localports.Path)
			if !got.Equal(order.Traps.Secret) {
				t.Errorf("%d ports reserved, want the %d traps", got.Len(), len(traps))
			}
			return err
		})
		if w.set(order) {
			t.Error("the second Set changed something")
		}
		w.record("State", "20,000 traps with gaps", "all armed and reserved")
	})
}

// readOnly runs f where nobody can write below /proc/sys, as in some containers.
func (w *world) readOnly(f func(context.Context) error) {
	w.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its mounts
		flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY)
		err := errors.Join(
			unix.Unshare(unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""),
			unix.Mount("", "/proc/sys", "", flags, ""),
		)
		if err == nil {
			err = w.Server.Do(func() error { return f(context.Background()) })
		}
		done <- err
	}()
	w.check(<-done)
}

// wantUnreserved fails the test unless the backend says that trap ports are not
// reserved, and why.
func (w *world) wantUnreserved() {
	w.t.Helper()
	problems := w.b.Problems()
	if len(problems) != 1 {
		w.t.Errorf("problems %v, want one", problems)
		return
	}
	w.wantRefused("problem", problems[0], portsnare.Denied, "the traps are armed", "/proc/sys read-write")
}

// TestReservedCannotBeWritten: where the list is out of reach, as in some
// containers, traps are armed all the same, the second Set changes nothing, and the
// backend says so for as long as it is so.
func TestReservedCannotBeWritten(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.readOnly(func(ctx context.Context) error {
			for n := range 4 {
				changed, err := w.b.Set(ctx, w.order())
				if err != nil {
					return err
				}
				if changed != (n == 0) {
					t.Errorf("Set %d changed something: %t", n+1, changed)
				}
				w.wantUnreserved()
			}
			return nil
		})
		if standing := w.standing(); !standing.Carries(w.order().Order) || standing.Unreserved.Empty() {
			t.Errorf("stands %+v, want the order, not reserved", standing)
		}
		w.set(w.order())
		if problems := w.b.Problems(); len(problems) > 0 {
			t.Errorf("problems %v when the list can be written, want none", problems)
		}
		if standing := w.standing(); !standing.Unreserved.Empty() {
			t.Errorf("not reserved when the list can be written: %s", standing.Unreserved)
		}
		w.record("State", "ip_local_reserved_ports cannot be written", "traps armed, and a problem that says so")
	})
}

// TestFlushWithoutWriting: what cannot be given back is not forgotten. Flush disarms
// the traps, says what is left, and ends the work later, also as another agent.
func TestFlushWithoutWriting(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.foreign()
		before := w.snapshot()
		w.set(w.order())
		list := w.reserved()
		for n := range 2 {
			w.readOnly(func(ctx context.Context) error {
				w.wantRefused("Flush", w.b.Flush(ctx), portsnare.Denied, "not everything is removed", "/proc/sys read-write")
				return nil
			})
			if got := w.reserved(); got != list {
				t.Errorf("Flush %d: reserved ports %q, want them untouched: %q", n+1, got, list)
			}
			if standing := w.standing(); standing.Armed {
				t.Errorf("Flush %d left %+v, want nothing armed", n+1, standing)
			}
			w.b = w.open()
		}
		w.do(w.b.Flush)
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("traces (-before +after):\n%s", diff)
		}
		w.record("State", "flush where ip_local_reserved_ports cannot be written", "disarmed, refused, ended by the next flush")
	})
}

// TestRotationWithoutWriting: a trap that goes while the list cannot be written is
// taken off the list as soon as it can, also by another agent.
func TestRotationWithoutWriting(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,5000"))
		rotate := func(traps string) kernel.State {
			order := w.order()
			order.Traps = portsnare.Traps{Secret: w.ports(traps)}
			return order
		}
		w.set(rotate("1001-1004/tcp"))
		w.readOnly(func(ctx context.Context) error {
			for _, traps := range []string{"1004-1005/tcp", "1005-1006/tcp", "1007/tcp"} {
				if _, err := w.b.Set(ctx, rotate(traps)); err != nil {
					return err
				}
				w.wantUnreserved()
			}
			return nil
		})
		w.b = w.open()
		w.readOnly(func(ctx context.Context) error {
			_, err := w.b.Set(ctx, rotate("1008/tcp"))
			w.wantUnreserved()
			return err
		})
		w.b = w.open()
		w.set(rotate("1008/tcp"))
		if got, want := w.reserved(), "1003,1008,5000"; got != want {
			t.Errorf("reserved ports %q, want %q", got, want)
		}
		if w.set(rotate("1008/tcp")) {
			t.Error("the second Set changed something")
		}
		w.do(w.b.Flush)
		if got, want := w.reserved(), "1003,5000"; got != want {
			t.Errorf("reserved ports after Flush %q, want %q", got, want)
		}
	})
}

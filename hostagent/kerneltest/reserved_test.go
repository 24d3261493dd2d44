package kerneltest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
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

// TestReservedCannotBeWritten: where the list is out of reach, as in some
// containers, traps are armed all the same, and the second Set changes nothing.
func TestReservedCannotBeWritten(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		err := w.Server.Do(func() error {
			runtime.LockOSThread() // and never unlocked: the thread ends with its mounts
			flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY)
			if err := errors.Join(
				unix.Unshare(unix.CLONE_NEWNS),
				unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
				unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""),
				unix.Mount("", "/proc/sys", "", flags, ""),
			); err != nil {
				return err
			}
			for n := range 4 {
				changed, err := w.b.Set(t.Context(), w.order())
				if err != nil {
					return err
				}
				if changed != (n == 0) {
					t.Errorf("Set %d changed something: %t", n+1, changed)
				}
			}
			return nil
		})
		w.check(err)
	})
}

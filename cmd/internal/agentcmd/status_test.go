package agentcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
	"github.com/portsnare/portsnare/hostagent/nflog"
)

// joined makes a state directory of a host that has got the test order.
func joined(t *testing.T) *app {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(testOrder().Order)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "order.json"), text, 0o600) // as the first version saved it
	}
	token := portsnare.Token{Host: "web-1", URLs: []string{"tls://192.0.2.1:4222"}, CA: []byte{1}, Seed: "seed"}
	if err := errors.Join(err, hostagent.SaveToken(dir, token)); err != nil {
		t.Fatal(err)
	}
	return &app{state: dir}
}

func runFlush(ctx context.Context, a *app) error {
	command := newFlush(a)
	command.SetArgs(nil)
	command.SetOut(io.Discard)
	command.SilenceErrors, command.SilenceUsage = true, true
	return command.ExecuteContext(ctx)
}

// TestStatusIsTheKernels: what status says is so in the kernel, whatever the state
// directory says.
func TestStatusIsTheKernels(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	a := joined(t)
	status := func(wantArmed bool, wantTraps int, wantText ...string) error {
		answer, err := a.status(t.Context())
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := answer.WriteText(&text); err != nil {
			return err
		}
		if answer.Armed != wantArmed || answer.Traps != wantTraps || answer.Running || time.Since(answer.At) > time.Minute {
			t.Errorf("status: %+v; want armed %t, %d traps", answer, wantArmed, wantTraps)
		}
		for _, want := range wantText {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%q is missing in\n%s", want, &text)
			}
		}
		return nil
	}
	for _, name := range []string{"ipset", "nftables"} {
		if err := ns.Do(func() error {
			if err := status(false, 0, "armed       no", "generation 1", "the kernel does not hold it", "not running"); err != nil {
				return err
			}
			chosen, err := choose(t.Context(), name)
			if err != nil {
				return err
			}
			if _, err := chosen.Set(t.Context(), testOrder()); err != nil {
				return err
			}
			if err := status(true, 10, "armed       yes, by "+name); err != nil {
				return err
			}
			return runFlush(t.Context(), a)
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFlushBesideAnAgent: an agent would put everything back, so flush refuses.
func TestFlushBesideAnAgent(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	a := joined(t)
	refused := func(a *app) {
		t.Helper()
		err := ns.Do(func() error { return runFlush(t.Context(), a) })
		if !errors.Is(err, portsnare.Conflict) || !strings.Contains(portsnare.HintOf(err), "systemctl stop portsnare-agent") {
			t.Errorf("flush beside an agent: %v (hint %q); want a conflict", err, portsnare.HintOf(err))
		}
	}
	unlock, err := hostagent.Lock(a.state)
	if err != nil {
		t.Fatal(err)
	}
	refused(a)
	if err := unlock(); err != nil {
		t.Fatal(err)
	}

	// One with another state directory, which hears the same kernel.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- ns.Do(func() error {
			return nflog.New(nflog.Options{Group: logGroup, Logger: slog.New(slog.DiscardHandler)}).Run(ctx, func(kernel.Sighting) {})
		})
	}()
	other := &app{state: filepath.Join(t.TempDir(), "none")}
	var hears bool
	for end := time.Now().Add(30 * time.Second); !hears && time.Now().Before(end); {
		if err := ns.Do(func() (err error) { hears, err = other.running(); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if !hears {
		t.Fatal("an agent that hears the kernel is not noticed")
	}
	refused(other)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(func() error { return runFlush(t.Context(), a) }); err != nil {
		t.Errorf("flush after the agent has stopped: %v", err)
	}
}

// TestDamagedOrderInStatus: status still says what the kernel holds.
func TestDamagedOrderInStatus(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	a := joined(t)
	if err := os.WriteFile(filepath.Join(a.state, "order.json"), []byte("portsnare-agent-state-2 00\n{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(func() error {
		answer, err := a.status(t.Context())
		if err == nil && (answer.Saved == nil || answer.Saved.Problem == "" || answer.Armed) {
			t.Errorf("status: %+v; want a problem with the saved order", answer)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

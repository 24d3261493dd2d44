package ipset

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/kerneltest"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

func TestFullMemory(t *testing.T) {
	const buckets = 64
	kerneltest.FullMemory(t, buckets*perBucket, func() kerneltest.Backend { return New(Options{maxHits: buckets * load}) })
}

// variants are those of iptables.
var variants = []string{"-nft", "-legacy"}

// mortal is a runner that fails at one call, as if the agent were killed there.
type mortal struct {
	runner
	left int // calls that still work
}

func (m *mortal) start(ctx context.Context, input, program string, args ...string) wait {
	if m.left--; m.left < 0 {
		return func() (string, error) { return "", kerneltest.ErrKilled }
	}
	return m.runner.start(ctx, input, program, args...)
}

func TestKilledAnywhere(t *testing.T) {
	for _, variant := range variants {
		t.Run("iptables"+variant, func(t *testing.T) {
			t.Parallel()
			kerneltest.KilledAnywhere(t, func(calls int) kerneltest.Backend {
				return New(Options{variant: variant, run: &mortal{programs{}, calls}})
			})
		})
	}
}

// lacking is a runner whose kernel does not know one match of a program's.
type lacking struct {
	runner
	program string
}

func (l lacking) start(ctx context.Context, input, program string, args ...string) wait {
	if program == l.program {
		input = strings.ReplaceAll(input, "-m socket", "-m nosuchmatch")
	}
	return l.runner.start(ctx, input, program, args...)
}

func TestKernelLacksSomething(t *testing.T) {
	for _, program := range []string{"iptables-restore", "ip6tables-restore"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			kerneltest.KernelLacksSomething(t, New(Options{run: lacking{programs{}, program}}), "nosuchmatch")
		})
	}
}

// record is a runner that notes what it ran.
type record struct {
	runner
	programs []string
}

func (r *record) start(ctx context.Context, input, program string, args ...string) wait {
	r.programs = append(r.programs, program)
	return r.runner.start(ctx, input, program, args...)
}

// TestRotationIsQuick: where the kernel tells that no rule has changed, an order
// that brings new traps asks for nothing and writes sets alone.
func TestRotationIsQuick(t *testing.T) {
	ran := &record{runner: programs{}}
	b := New(Options{variant: "-nft", run: ran})
	first, second := sample(t), sample(t)
	second.Traps.Secret = portSet(t, "9000-9009/tcp")
	err := netlab.New(t).Namespace("server").Do(func() error {
		for _, order := range []kernel.State{second, first, first, second} {
			ran.programs = nil
			if _, err := b.Set(t.Context(), order); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ipset", "ipset"}, ran.programs); diff != "" {
		t.Errorf("programs that rotated (-want +got):\n%s", diff)
	}
}

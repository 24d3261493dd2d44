package nftables

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/kerneltest"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

func TestFullMemory(t *testing.T) {
	const most = 512
	kerneltest.FullMemory(t, most, func() kerneltest.Backend { return New(Options{maxHits: most}) })
}

// mortal is a runner that fails at one call, as if the agent were killed there.
type mortal struct {
	runner
	left int // calls that still work
}

func (m *mortal) nft(ctx context.Context, input string, args ...string) (string, error) {
	if m.left--; m.left < 0 {
		return "", kerneltest.ErrKilled
	}
	return m.runner.nft(ctx, input, args...)
}

func TestKilledAnywhere(t *testing.T) {
	kerneltest.KilledAnywhere(t, func(calls int) kerneltest.Backend {
		return New(Options{run: &mortal{program{}, calls}})
	})
}

// lacking is a runner whose kernel does not know one match.
type lacking struct{ runner }

func (l lacking) nft(ctx context.Context, input string, args ...string) (string, error) {
	return l.runner.nft(ctx, strings.ReplaceAll(input, "socket wildcard", "socket nosuchkey"), args...)
}

func TestKernelLacksSomething(t *testing.T) {
	kerneltest.KernelLacksSomething(t, New(Options{run: lacking{program{}}}), "Error: ")
}

// crowded is a runner whose kernel has as many bans as it takes.
type crowded struct{ t *testing.T }

func (crowded) installed() bool { return true }

func (c crowded) nft(_ context.Context, _ string, args ...string) (string, error) {
	switch command := strings.Join(args, " "); command {
	case "-j -t list ruleset inet":
		return `{"nftables": [{"table": {"family": "inet", "name": "portsnare"}}, {"set": {"table": "portsnare", "name": "ban4"}}]}`, nil
	case "-j list set inet portsnare ban4":
		var elements []string
		for n := range kernel.MaxBans {
			addr := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
			elements = append(elements, fmt.Sprintf(`{"elem": {"val": "%s", "timeout": 600, "expires": 500, "counter": {"packets": 1, "bytes": 60}}}`, addr))
		}
		return `{"nftables": [{"set": {"name": "ban4", "elem": [` + strings.Join(elements, ",") + `]}}]}`, nil
	default:
		c.t.Errorf("unexpected: nft %s", command)
		return "", nil
	}
}

func TestNoRoomForABan(t *testing.T) {
	b := New(Options{run: crowded{t}})
	err := b.Ban(t.Context(), []portsnare.Ban{{Source: netip.MustParsePrefix("203.0.113.7/32"), Until: time.Now().Add(time.Hour)}})
	if !errors.Is(err, portsnare.LimitExceeded) {
		t.Errorf("one ban too many: %v, want limit exceeded", err)
	}
}

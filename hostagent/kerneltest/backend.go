package kerneltest

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// Backend is what the suite asks of a kernel backend.
type Backend interface {
	Check(ctx context.Context) error
	Set(ctx context.Context, order kernel.State) (changed bool, err error)
	Ban(ctx context.Context, bans []portsnare.Ban) error
	Unban(ctx context.Context, sources []netip.Prefix) error
	Bans(ctx context.Context) ([]portsnare.Ban, error)
	Dropped(ctx context.Context) (map[netip.Prefix]uint64, error)
	Friends(ctx context.Context) ([]portsnare.Friend, error)
	Full(ctx context.Context) (memories []string, err error)
	Armed(ctx context.Context) (kernel.Standing, error)
	Problems() []error
	Flush(ctx context.Context) error
}

// variant is a backend on a host of some kind.
type variant struct {
	name     string
	open     func() Backend
	iptables string // the host's variant of iptables
}

// A parameter of each network namespace that the kernel has for whoever needs one
// (Documentation/networking/ip-sysctl.rst, tag) marks the hosts of iptables-legacy.
const (
	markFile   = "/proc/sys/net/ipv4/conf/lo/tag"
	legacyMark = "1"
)

// ban is one ban, for [Backend].Ban.
func ban(source netip.Prefix, until time.Time) []portsnare.Ban {
	return []portsnare.Ban{{Source: source, Until: until}}
}

// mark makes the server a host of its variant of iptables.
func (v variant) mark(server *netlab.Namespace) error {
	if v.iptables != "legacy" {
		return nil
	}
	return server.Do(func() error { return os.WriteFile(markFile, []byte(legacyMark), 0) })
}

// noDefence shows what a scan finds without us, and with it that it can find
// something.
type noDefence struct{}

func (noDefence) Check(context.Context) error                              { return nil }
func (noDefence) Set(context.Context, kernel.State) (bool, error)          { return false, nil }
func (noDefence) Ban(context.Context, []portsnare.Ban) error               { return nil }
func (noDefence) Friends(context.Context) ([]portsnare.Friend, error)      { return nil, nil }
func (noDefence) Bans(context.Context) ([]portsnare.Ban, error)            { return nil, nil }
func (noDefence) Dropped(context.Context) (map[netip.Prefix]uint64, error) { return nil, nil }
func (noDefence) Unban(context.Context, []netip.Prefix) error              { return nil }
func (noDefence) Armed(context.Context) (kernel.Standing, error)           { return kernel.Standing{}, nil }
func (noDefence) Problems() []error                                        { return nil }
func (noDefence) Full(context.Context) ([]string, error)                   { return nil, nil }
func (noDefence) Flush(context.Context) error                              { return nil }

// forBoth runs a test of a variant for both families, at the same time.
func forBoth(t *testing.T, v variant, test func(t *testing.T, w *world)) {
	for _, f := range families {
		t.Run(v.name+"/"+f.name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, v, f))
		})
	}
}

// notInstalled skips a test for want of a program, except where all must run.
func notInstalled(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(netlab.RequiredEnv) != "" {
		t.Fatalf("not installed: %v", err)
	}
	t.Skipf("not installed: %v", err)
}

//go:build linux

package netlab

import (
	"context"
	"os"
)

// TB is the part of testing.TB that a Lab needs; package testing itself stays
// out of the programs that use this package.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Lab is a laboratory for one test: it ends the test when something cannot be
// built and cleans up after it.
type Lab struct{ t TB }

// New returns a laboratory for a test. Where network namespaces cannot be made,
// the test is skipped and told why. The package's TestMain should call Main.
func New(t TB) *Lab {
	t.Helper()
	if err := possible(); err != nil {
		if os.Getenv(RequiredEnv) != "" {
			t.Fatalf("no network namespaces: %v", err)
		}
		t.Skipf("no network namespaces: %v", err)
	}
	return &Lab{t}
}

// Namespace makes an empty namespace that lasts until the test ends.
func (l *Lab) Namespace(name string) *Namespace {
	l.t.Helper()
	ns, err := NewNamespace(name)
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	l.t.Cleanup(func() { ns.Close() })
	return ns
}

// Topology builds a scanner, a cloud and a server that last until the test ends.
func (l *Lab) Topology() *Topology {
	l.t.Helper()
	topology, err := NewTopology()
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	l.t.Cleanup(func() { topology.Close() })
	return topology
}

// Capture records on an interface until the test ends. The test fails if
// packets were lost.
func (l *Lab) Capture(ns *Namespace, iface string) *Capture {
	l.t.Helper()
	capture, err := ns.Capture(iface)
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	l.t.Cleanup(func() {
		if err := capture.Close(); err != nil {
			l.t.Errorf("%v", err)
		}
	})
	return capture
}

// possible tells why no namespace can be made here, or nil.
func possible() error {
	if barred != nil {
		return barred
	}
	ns, err := NewNamespace("trial")
	if err != nil {
		return err
	}
	return ns.Close()
}

package agentcmd

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/ipset"
	"github.com/portsnare/portsnare/hostagent/nftables"
)

// kernel is what every backend can do.
type kernel interface {
	hostagent.Backend
	Check(ctx context.Context) error
	Flush(ctx context.Context) error
	Friends(ctx context.Context) ([]portsnare.Friend, error)
	Dropped(ctx context.Context) (map[netip.Prefix]uint64, error)
}

// backend is one way to program the kernel, by the name that --backend takes.
type backend struct {
	name string
	kernel
}

// backends returns all of them, the one that auto prefers first. They log to
// one NFLOG group.
func backends() []backend {
	return []backend{
		{"ipset", ipset.New(ipset.Options{LogGroup: logGroup})},
		{"nftables", nftables.New(nftables.Options{LogGroup: logGroup})},
	}
}

const (
	logGroup = ipset.DefaultLogGroup
	auto     = "auto"
)

// choose returns the backend of that name, or for auto the first that works
// here. What another one has armed is removed once the chosen one is armed.
func choose(ctx context.Context, name string) (backend, error) {
	var refusals []error
	var names []string
	for i, b := range backends() {
		names = append(names, b.name)
		if name != auto && name != b.name {
			continue
		}
		err := b.Check(ctx)
		if err == nil {
			others := append(backends()[:i:i], backends()[i+1:]...)
			return backend{b.name, &successor{kernel: b.kernel, others: others}}, nil
		}
		refusals = append(refusals, err)
	}
	if len(refusals) == 0 {
		return backend{}, &portsnare.Error{Kind: portsnare.Invalid, Op: "choose backend", Subject: name,
			Err: errors.New("there is none of that name"), Hint: "want " + auto + ", " + strings.Join(names, " or ")}
	}
	return backend{}, refusals[0]
}

// successor takes over from other backends: there is no moment in which no
// trap is silent, and no trace of the others afterwards.
type successor struct {
	kernel
	others []backend // that may still have something armed
}

// Set implements hostagent.Backend.
func (s *successor) Set(ctx context.Context, order portsnare.Order) (changed bool, err error) {
	changed, err = s.kernel.Set(ctx, order)
	if err != nil {
		return changed, err
	}
	for len(s.others) > 0 {
		if other := s.others[0]; other.Check(ctx) == nil {
			if err := other.Flush(ctx); err != nil {
				return changed, err
			}
		}
		s.others = s.others[1:]
	}
	return changed, nil
}

// Full implements hostagent.Bounded where the backend can tell.
func (s *successor) Full(ctx context.Context) ([]string, error) {
	if bounded, ok := s.kernel.(hostagent.Bounded); ok {
		return bounded.Full(ctx)
	}
	return nil, nil
}

// usable returns the backends that work here. None is the error of the first.
func usable(ctx context.Context) ([]backend, error) {
	var found []backend
	var first error
	for _, b := range backends() {
		if err := b.Check(ctx); err == nil {
			found = append(found, b)
		} else if first == nil {
			first = err
		}
	}
	if len(found) == 0 {
		return nil, first
	}
	return found, nil
}

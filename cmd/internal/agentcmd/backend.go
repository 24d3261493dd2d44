package agentcmd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/host"
	"github.com/portsnare/portsnare/hostagent/ipset"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/nftables"
)

// program is what every backend can do.
type program interface {
	hostagent.Backend
	Check(ctx context.Context) error
	Flush(ctx context.Context) error
	Dropped(ctx context.Context) (map[netip.Prefix]uint64, error)
}

// backend is one way to program the kernel, by the name that --backend takes.
type backend struct {
	name string
	program
	owns func(kind string) bool // whether a trace of ours of this kind is its own
}

// left returns what of the backend's stands in the kernel, though the backend may
// not work.
func (b backend) left() ([]host.Trace, error) {
	traces, err := host.Traces(tracesName)
	return slices.DeleteFunc(traces, func(t host.Trace) bool { return !b.owns(t.Kind) }), err
}

// backends returns all of them, the one that auto prefers first. They log to
// one NFLOG group.
func backends() []backend {
	return []backend{
		{"ipset", ipset.New(ipset.Options{LogGroup: logGroup}), func(kind string) bool { return kind != host.TableKind }},
		{"nftables", nftables.New(nftables.Options{LogGroup: logGroup}), func(kind string) bool { return kind == host.TableKind }},
	}
}

const (
	logGroup = kernel.LogGroup
	auto     = "auto"
	// tracesName is how the name of everything begins that is ours in the kernel.
	tracesName = "portsnare"
)

// choose returns the backend of that name, or for auto the first that works
// here; if none does, why not, of each. What another one has armed is removed once the chosen one is armed.
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
			b.program = &successor{program: b.program, others: others}
			return b, nil
		}
		refusals = append(refusals, err)
	}
	if len(refusals) == 0 {
		return backend{}, &portsnare.Error{Kind: portsnare.Invalid, Op: "choose backend", Subject: name,
			Err: errors.New("there is none of that name"), Hint: "want " + auto + ", " + strings.Join(names, " or ")}
	}
	return backend{}, errors.Join(refusals...)
}

// successor takes over from other backends: there is no moment in which no
// trap is silent, and no trace of the others afterwards.
type successor struct {
	program
	others []backend // that may still have something armed
}

// Set implements hostagent.Backend.
func (s *successor) Set(ctx context.Context, state kernel.State) (changed bool, err error) {
	changed, err = s.program.Set(ctx, state)
	if err != nil {
		return changed, err
	}
	for len(s.others) > 0 {
		if err := s.others[0].leave(ctx); err != nil {
			return changed, fmt.Errorf("take over from %s: %w", s.others[0].name, err)
		}
		s.others = s.others[1:]
	}
	return changed, nil
}

// Armed implements hostagent.Backend. Until it has taken over, what another backend
// has armed stands.
func (s *successor) Armed(ctx context.Context) (kernel.Standing, error) {
	standing, err := s.program.Armed(ctx)
	for _, other := range s.others {
		if err != nil || standing.Armed {
			break
		}
		if found, err := other.Armed(ctx); err == nil { // else it does not work here, and stands for nothing
			standing = found
		}
	}
	return standing, err
}

// leave removes what the backend has armed. That it does not work is no error
// where it has nothing.
func (b backend) leave(ctx context.Context) error {
	err := b.Check(ctx)
	if err == nil {
		return b.Flush(ctx)
	}
	left, leftErr := b.left()
	if len(left) > 0 || leftErr != nil {
		return errors.Join(err, leftErr)
	}
	return nil
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

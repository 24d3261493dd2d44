package fleet

import (
	"context"
	"errors"
	"strings"

	"github.com/portsnare/portsnare"
)

// Part is what one rotator has to say about the traps of hosts. The order of a host
// has the traps of all its parts. No order is sent before every part of the host is
// known, because it would disarm what an unknown part has open. Its methods may be
// called from any goroutine.
type Part struct {
	fleet *Fleet
	name  string
}

// Part returns the part of that name and gives it a say in the orders of hosts. The
// part of a host's own group has the name of that group; it numbers the
// generations of the host's orders. Make every part before the first call of Arm.
func (f *Fleet) Part(name string, hosts ...string) *Part {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, host := range hosts {
		h := f.hosts[host]
		if h.parts == nil {
			h.parts, h.changed = map[string]*portsnare.TrapSet{}, make(chan struct{})
		}
		if _, has := h.parts[name]; !has {
			h.parts[name] = nil
		}
		f.hosts[host] = h
	}
	return &Part{f, name}
}

// Arm has each of the hosts watch the traps of set, in place of those that this part
// had before. A host that [Fleet.Set] or [Fleet.Part] has not named is an error of
// kind NotFound. A protected port is never a trap, whatever set says.
func (p *Part) Arm(ctx context.Context, hosts []string, set portsnare.TrapSet) error {
	for _, name := range hosts {
		if h, known := p.fleet.get(name); !known || !h.has(p.name) {
			return errUnknown(name)
		}
	}
	return p.fleet.change(ctx, hosts, func(h *host) { h.put(p.name, &set) })
}

// Release takes this part out of the hosts' orders. A host without any other part
// gets an order without traps, and is forgotten.
func (p *Part) Release(ctx context.Context, hosts []string) error {
	var last []string
	err := p.fleet.change(ctx, hosts, func(h *host) {
		if len(h.parts) > 1 {
			h.drop(p.name)
		} else if set := h.parts[p.name]; set != nil {
			h.put(p.name, &portsnare.TrapSet{Generation: set.Generation})
		}
	})
	if err != nil {
		return err
	}
	p.fleet.mu.Lock()
	defer p.fleet.mu.Unlock()
	for _, name := range hosts {
		if h := p.fleet.hosts[name]; h.has(p.name) {
			last = append(last, name)
		}
	}
	for _, name := range last {
		delete(p.fleet.hosts, name)
	}
	return nil
}

// Await returns when the host reports that it watches the traps of set and those
// of all other parts, or with an error that says what is known of it.
func (p *Part) Await(ctx context.Context, name string, set portsnare.TrapSet) error {
	for {
		h, known := p.fleet.get(name)
		if !known || !h.has(p.name) {
			return errUnknown(name)
		}
		h.parts[p.name] = &set
		err := p.awaitUnchanged(ctx, name, h)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-h.changed: // by another part: what was waited for is no longer ordered
		default:
			return err
		}
	}
}

// awaitUnchanged waits until the host has armed its order, or a part changes.
func (p *Part) awaitUnchanged(ctx context.Context, name string, h host) error {
	if silent := h.silent(); len(silent) > 0 {
		select {
		case <-h.changed:
		case <-ctx.Done():
		}
		return errSilent(name, silent)
	}
	waiting, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	defer func() { stop(); <-ended }()
	go func() {
		defer close(ended)
		select {
		case <-h.changed:
			stop()
		case <-waiting.Done():
		}
	}()
	return p.fleet.link.Await(waiting, h.order(name))
}

// Watches reports whether the newest report of the host says that it watches the
// traps of set and of all other parts.
func (p *Part) Watches(name string, set portsnare.TrapSet) bool {
	report, order, ok := p.reported(name, set)
	return ok && report.Watches(order)
}

// Carries reports whether the newest report of the host says that it has armed
// its whole order, with the traps of set. Where other parts have a say in its order
// it is false until this part is armed once, since they wait for that.
func (p *Part) Carries(name string, set portsnare.TrapSet) bool {
	if h, _ := p.fleet.get(name); len(h.parts) > 1 && h.parts[p.name] == nil {
		return false
	}
	report, order, ok := p.reported(name, set)
	return ok && report.Carries(order)
}

func (p *Part) reported(name string, set portsnare.TrapSet) (portsnare.Report, portsnare.Order, bool) {
	h, known := p.fleet.get(name)
	report, ok := p.fleet.link.Report(name)
	if !known || !ok || !h.has(p.name) {
		return report, portsnare.Order{}, false
	}
	h.parts[p.name] = &set
	return report, h.order(name), len(h.silent()) == 0
}

// Report returns the newest report of the host.
func (p *Part) Report(name string) (portsnare.Report, bool) { return p.fleet.link.Report(name) }

func errSilent(host string, parts []string) error {
	return &portsnare.Error{
		Kind: portsnare.Transient, Op: "arm", Subject: host,
		Err:  errors.New("it is not known yet what is open for it in " + strings.Join(parts, ", ")),
		Hint: "see what `portsnare status` says about " + strings.Join(parts, ", "),
	}
}

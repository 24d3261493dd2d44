package digitalocean

import (
	"context"
	"errors"
	"slices"

	"github.com/digitalocean/godo"

	"github.com/portsnare/portsnare"
)

// writer carries out one change and tells what of it was done.
type writer struct {
	*Firewall
	fw   *godo.Firewall // as last read
	c    change
	done *portsnare.Done
}

// change writes by the endpoints for rules, which touch nothing else.
func (w *writer) change(ctx context.Context) error {
	steps := []func(context.Context) error{w.add, w.remove}
	full := len(w.fw.InboundRules)+len(w.fw.OutboundRules)+len(w.c.add) > MaxRules
	if full || w.c.overlaps {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) add(ctx context.Context) error {
	if len(w.c.add) == 0 {
		return nil
	}
	err := w.write(ctx, opAdd, func(ctx context.Context) error {
		_, err := w.client.Firewalls.AddRules(ctx, w.id, rulesRequest(w.c.add))
		return err
	})
	if err != nil {
		return err
	}
	w.done.Opened = append(w.done.Opened, w.c.opened...)
	return w.settle(ctx)
}

func (w *writer) remove(ctx context.Context) error {
	for _, batch := range w.c.batches() {
		var rules []godo.InboundRule
		for _, r := range batch {
			rules = append(rules, r.rule)
		}
		err := w.write(ctx, opRemove, func(ctx context.Context) error {
			_, err := w.client.Firewalls.RemoveRules(ctx, w.id, rulesRequest(rules))
			return err
		})
		if err != nil {
			return err
		}
		w.tellClosed(batch)
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) tellClosed(gone []removal) {
	for _, r := range gone {
		w.done.Closed = append(w.done.Closed, r.closed...)
	}
}

// rulesRequest names both lists: one that is nil would be sent as null.
func rulesRequest(inbound []godo.InboundRule) *godo.FirewallRulesRequest {
	return &godo.FirewallRulesRequest{InboundRules: inbound, OutboundRules: []godo.OutboundRule{}}
}

// put writes the firewall whole: everything as it was read, save the rules of
// ours that change.
func (w *writer) put(ctx context.Context) error {
	if err := w.checkSight(ctx); err != nil {
		return err
	}
	rules := slices.DeleteFunc(slices.Clone(w.fw.InboundRules), func(r godo.InboundRule) bool {
		return slices.ContainsFunc(w.c.remove, func(gone removal) bool { return idOf(gone.rule) == idOf(r) })
	})
	request := &godo.FirewallRequest{
		Name:          w.fw.Name,
		InboundRules:  append(rules, w.c.add...),
		OutboundRules: listed(w.fw.OutboundRules),
		DropletIDs:    listed(w.fw.DropletIDs),
		Tags:          listed(w.fw.Tags),
	}
	err := w.write(ctx, opReplace, func(ctx context.Context) error {
		_, _, err := w.client.Firewalls.Update(ctx, w.id, request)
		return err
	})
	if err != nil {
		return err
	}
	w.done.Opened = append(w.done.Opened, w.c.opened...)
	w.tellClosed(w.c.remove)
	return w.settle(ctx)
}

// listed makes sure that a list without items is sent as one, and not as null.
func listed[T any](items []T) []T { return append([]T{}, items...) }

// checkSight demands that the token sees whatever may be attached to the
// firewall, as a PUT detaches what it does not name and an answer leaves out,
// without a word, what the token may not see.
func (w *writer) checkSight(ctx context.Context) error {
	if !w.seesAll.Load() {
		for _, see := range []func(context.Context) error{w.seeDroplets, w.seeTags} {
			if err := see(ctx); err != nil {
				return err
			}
		}
		w.seesAll.Store(true)
	}
	if len(w.fw.Tags) == 0 {
		return w.failure(opReplace, portsnare.Invalid, errors.New("the firewall is attached by no tag"), hintReplace)
	}
	return nil
}

// write makes one write and counts it.
func (w *writer) write(ctx context.Context, o op, do func(context.Context) error) error {
	if err := w.call(ctx, o, do); err != nil {
		return err
	}
	w.done.Writes++
	return nil
}

// settle waits until the Droplets have what was written.
func (w *writer) settle(ctx context.Context) (err error) {
	fw, err := w.settled(ctx)
	if err == nil {
		w.fw = fw
	}
	return err
}

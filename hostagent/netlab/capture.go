//go:build linux

package netlab

import (
	"context"
	"fmt"
	"sync"
)

// Capture records the TCP, UDP and ICMP packets that cross one interface, in
// both directions, from the moment it is made. The kernel keeps up to 131,072
// packets between two calls; when it had to drop one, the calls say so, because
// an absence then proves nothing.
type Capture struct {
	mu      sync.Mutex
	ring    *ring
	packets []Packet
	err     error
}

// Capture starts recording on an interface. The caller must Close it.
func (ns *Namespace) Capture(iface string) (*Capture, error) {
	r, err := ns.openRing(iface, ringSize)
	if err != nil {
		return nil, err
	}
	return &Capture{ring: r}, nil
}

// Close stops recording. What was recorded stays readable. The error tells
// whether packets were lost.
func (c *Capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ring == nil {
		return c.err
	}
	c.fetch()
	c.ring.Close()
	c.ring = nil
	return c.err
}

// Packets returns what was recorded so far, oldest first. A nil match takes
// every packet.
func (c *Capture) Packets(match func(Packet) bool) ([]Packet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetch()
	var found []Packet
	for _, p := range c.packets {
		if match == nil || match(p) {
			found = append(found, p)
		}
	}
	return found, c.err
}

// Wait returns when n of the packets recorded so far match, and fails when ctx
// is done first. Only one goroutine may Wait.
func (c *Capture) Wait(ctx context.Context, n int, match func(Packet) bool) error {
	seen, found := 0, 0
	var lost error
	r := c.ring
	err := r.wait(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fetch()
		for ; seen < len(c.packets) && found < n; seen++ {
			if match(c.packets[seen]) {
				found++
			}
		}
		lost = c.err
		return found >= n || lost != nil
	})
	if found >= n {
		return nil
	}
	if lost != nil {
		return lost
	}
	return fmt.Errorf("captured %d of %d packets on %s: %w", found, n, r.iface, err)
}

// fetch moves what the kernel has into packets; the caller holds mu.
func (c *Capture) fetch() {
	if c.ring == nil || c.err != nil {
		return
	}
	c.err = c.ring.drain(func(p Packet) { c.packets = append(c.packets, p) })
}

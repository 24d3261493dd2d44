package ipset

import (
	"context"
	"fmt"
	"testing"

	"github.com/portsnare/portsnare"
)

// ports is a choice of n ports, of which no two are neighbours.
func ports(n, from int) portsnare.PortSet {
	var all []portsnare.Port
	for i := range n {
		all = append(all, portsnare.Port{Protocol: portsnare.TCP, Number: uint16(1024 + from + i*64000/n)})
	}
	return portsnare.PortSetOf(all...)
}

// BenchmarkRotate replaces traps, from order to armed. The goal for 1,000 is 3 ms.
func BenchmarkRotate(b *testing.B) {
	for _, variant := range []string{"-nft", "-legacy"} {
		for _, traps := range []int{1000, 10_000} {
			b.Run(fmt.Sprintf("%d%s", traps, variant), func(b *testing.B) {
				w := newWorld(b, ipv4, Options{variant: variant})
				orders := [2]portsnare.Order{w.order("", ""), w.order("", "")}
				for i := range orders {
					orders[i].Traps.Secret = ports(traps, 3*i)
					w.set(orders[i])
				}
				w.set(orders[1]) // looks at everything
				w.do(func(ctx context.Context) error {
					for n := 0; b.Loop(); n++ {
						if _, err := w.b.Set(ctx, orders[n%2]); err != nil {
							return err
						}
					}
					return nil
				})
			})
		}
	}
}

// BenchmarkUnchanged looks at everything and finds it in order, as an agent does
// every few seconds.
func BenchmarkUnchanged(b *testing.B) {
	w := newWorld(b, ipv4, Options{})
	order := w.order("", "")
	order.Traps.Secret = ports(1000, 0)
	w.set(order)
	w.do(func(ctx context.Context) error {
		for b.Loop() {
			if _, err := w.b.Set(ctx, order); err != nil {
				return err
			}
		}
		return nil
	})
}

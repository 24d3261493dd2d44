package kerneltest

import (
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
)

// BenchmarkUnchanged measures the same order again, which looks at everything and
// finds it right, as an agent has it done every few seconds.
func BenchmarkUnchanged(b *testing.B) {
	for _, v := range defences {
		b.Run(strings.ReplaceAll(v.name, ", ", "-"), func(b *testing.B) {
			l := newLane(b, rival{variant: v, arm: func(*world) {}}, load{})
			order := l.order()
			order.Traps = portsnare.Traps{Secret: every(6, 0, 1_000)}
			l.set(order)
			l.set(order)
			for b.Loop() {
				l.set(order)
			}
		})
	}
}

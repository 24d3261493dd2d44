package kerneltest

import (
	"iter"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// EveryOption yields base with each of the 32 combinations of what changes the
// shape of a kernel program, and whether the host forwards with it.
func EveryOption(base kernel.State) iter.Seq2[kernel.State, bool] {
	return func(yield func(kernel.State, bool) bool) {
		for options := range 1 << 5 {
			on := func(bit int) bool { return options&(1<<bit) != 0 }
			state := base
			state.Alarm, state.Policy.Delay, state.CloudFirewall = on(0), on(1), on(2)
			state.Policy.Strikes = 1
			if on(3) {
				state.Policy.Strikes = portsnare.MaxStrikes
			}
			if !yield(state, on(4)) {
				return
			}
		}
	}
}

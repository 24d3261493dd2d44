package ipset

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/kerneltest"
)

// without is a runner whose programs do not know one ability: "-m socket", "-j SET",
// "hash:net,port".
type without struct {
	runner
	ability string
}

func (w without) start(ctx context.Context, input, program string, args ...string) wait {
	if (program == "ipset") == strings.Contains(w.ability, ":") {
		input = strings.ReplaceAll(input, w.ability+" ", w.ability+"_lost ")
	}
	return w.runner.start(ctx, input, program, args...)
}

// programsOf returns the programs of orders that together have every option.
func programsOf(t *testing.T, opts Options) (all []program) {
	for state, forwards := range kerneltest.EveryOption(sample(t)) {
		all = append(all, render(state, opts, [len(families)]bool{forwards, forwards}))
	}
	return all
}

// needs returns the abilities that a program needs.
func (p program) needs() (all []string) {
	for _, tables := range p.tables {
		for _, t := range tables {
			for _, rule := range t.allRules() {
				all = append(all, abilities(rule)...)
			}
		}
	}
	for _, s := range p.sets {
		kind, _, _ := strings.Cut(s.kind, " ")
		all = append(all, kind)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(a string) bool { return a == "-j DROP" || a == "-j RETURN" })
}

// TestRehearsalsNeedAll: no order needs what Check does not try.
func TestRehearsalsNeedAll(t *testing.T) {
	opts := New(Options{}).opts
	var rehearsed []string
	for _, order := range kernel.Rehearsals(noon) {
		rehearsed = append(rehearsed, render(order, opts, router).needs()...)
	}
	for _, p := range programsOf(t, opts) {
		for _, ability := range p.needs() {
			if !slices.Contains(rehearsed, ability) {
				t.Errorf("an order needs %s, which Check does not try", ability)
			}
		}
	}
	if len(rehearsed) < 20 {
		t.Errorf("only %v are tried", rehearsed)
	}
}

// TestLacksEach takes away one match, target or type of set after the other.
func TestLacksEach(t *testing.T) {
	opts := New(Options{}).opts
	var all []string
	for _, p := range programsOf(t, opts) {
		all = append(all, p.needs()...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, variant := range variants {
		t.Run("iptables"+variant, func(t *testing.T) {
			t.Parallel()
			kerneltest.KernelLacksEach(t, all, func(ability string) kerneltest.Backend {
				if ability == "" {
					return New(Options{variant: variant})
				}
				return New(Options{variant: variant, run: without{programs{}, ability}})
			})
		})
	}
}

func TestKilledCheck(t *testing.T) {
	for _, variant := range variants {
		t.Run("iptables"+variant, func(t *testing.T) {
			t.Parallel()
			kerneltest.KilledCheck(t, func(calls int) kerneltest.Backend {
				return New(Options{variant: variant, run: &mortal{programs{}, calls}})
			})
		})
	}
}

// garbled is a runner in which what arms is wrong, and what rehearses is not.
type garbled struct{ runner }

func (g garbled) start(ctx context.Context, input, program string, args ...string) wait {
	if !strings.Contains(input, chainStage) {
		input = strings.ReplaceAll(input, "-A "+chainMain+" ", "-A "+chainMain+" --nosuch ")
	}
	return g.runner.start(ctx, input, program, args...)
}

func TestFaultOfOurs(t *testing.T) { kerneltest.FaultOfOurs(t, New(Options{run: garbled{programs{}}})) }

// full is a runner whose kernel has no room for bans in some calls.
type full struct {
	runner
	failures int
}

func (f *full) start(ctx context.Context, input, program string, args ...string) wait {
	if strings.Contains(input, "add "+prefix+"ban") && f.failures > 0 {
		f.failures--
		return func() (string, error) {
			return "", &portsnare.Error{Kind: portsnare.LimitExceeded, Op: "run", Subject: program}
		}
	}
	return f.runner.start(ctx, input, program, args...)
}

func TestFullMeanwhile(t *testing.T) {
	kerneltest.FullMeanwhile(t, func(failures int) kerneltest.Backend { return New(Options{run: &full{programs{}, failures}}) })
}

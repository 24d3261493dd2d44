package nftables

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/kerneltest"
)

// without is a runner whose kernel does not know one ability: "fib daddr".
type without struct {
	runner
	ability string
}

func (w without) nft(ctx context.Context, input string, args ...string) (string, error) {
	word := regexp.MustCompile(`\b` + w.ability + `\b`)
	return w.runner.nft(ctx, word.ReplaceAllString(input, w.ability+"_lost"), args...)
}

// programsOf returns the tables of orders that together have every option.
func programsOf(t *testing.T, opts Options) (all []table) {
	for state, forwards := range kerneltest.EveryOption(sample(t)) {
		all = append(all, render(state, opts, [len(families)]bool{forwards, forwards}))
	}
	return all
}

// needs returns the abilities that a table needs.
func (t table) needs() (all []string) {
	for _, statement := range t.statements() {
		all = append(all, abilities(statement)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestRehearsalsNeedAll: no order needs what Check does not try.
func TestRehearsalsNeedAll(t *testing.T) {
	opts := New(Options{}).opts
	var rehearsed []string
	for _, order := range kernel.Rehearsals(noon) {
		rehearsed = append(rehearsed, render(order, opts, [len(families)]bool{true, true}).needs()...)
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

// TestLacksEach takes away one expression after the other.
func TestLacksEach(t *testing.T) {
	var all []string
	for _, p := range programsOf(t, New(Options{}).opts) {
		all = append(all, p.needs()...)
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(ability string) bool {
		return ability == "add" || ability == "update" // which everything needs, also what is no rule
	})
	kerneltest.KernelLacksEach(t, all, func(ability string) kerneltest.Backend {
		if ability == "" {
			return New(Options{})
		}
		return New(Options{run: without{program{}, ability}})
	})
}

func TestKilledCheck(t *testing.T) {
	kerneltest.KilledCheck(t, func(calls int) kerneltest.Backend {
		return New(Options{run: &mortal{program{}, calls}})
	})
}

// garbled is a runner in which what arms is wrong, and what rehearses is not.
type garbled struct{ runner }

func (g garbled) nft(ctx context.Context, input string, args ...string) (string, error) {
	if !strings.Contains(input, stage) {
		input = strings.ReplaceAll(input, "goto syn ", "gotosyn ")
	}
	return g.runner.nft(ctx, input, args...)
}

func TestFaultOfOurs(t *testing.T) { kerneltest.FaultOfOurs(t, New(Options{run: garbled{program{}}})) }

// fullOfBans is a runner whose kernel has no room for bans in some calls.
type fullOfBans struct {
	runner
	failures int
}

func (f *fullOfBans) nft(ctx context.Context, input string, args ...string) (string, error) {
	if strings.Contains(input, "add element "+ours+" "+ban) && f.failures > 0 {
		f.failures--
		return "", &portsnare.Error{Kind: portsnare.LimitExceeded, Op: "run", Subject: "nft"}
	}
	return f.runner.nft(ctx, input, args...)
}

func TestFullMeanwhile(t *testing.T) {
	kerneltest.FullMeanwhile(t, func(failures int) kerneltest.Backend { return New(Options{run: &fullOfBans{program{}, failures}}) })
}

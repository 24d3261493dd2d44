package ipset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// A rehearsal loads the sets and chains of an order under other names, to which no
// hook leads, and removes them again. What a kill leaves of it the next rehearsal
// or Flush removes; Set knows nothing of it.
const (
	stage      = prefix + "check_"
	chainStage = chainMain + "_CHECK"
)

// staged gives all that is ours in a text the names of a rehearsal.
var staged = strings.NewReplacer(prefix, stage, chainMain+"_", chainStage+"_", chainMain, chainStage)

// stageMade is the set that holds the places that the rehearsal has made.
var stageMade = staged.Replace(made)

// isStaged reports whether a set or chain belongs to a rehearsal.
func isStaged(name string) bool {
	return strings.HasPrefix(name, stage) || name == chainStage || strings.HasPrefix(name, chainStage+"_")
}

// rehearse loads all that any order may need, and removes it. The error is of kind
// [portsnare.Unavailable] if something is missing, and says what.
func (b *Backend) rehearse(ctx context.Context) (err error) {
	release := host.Lock(ctx)
	defer release()
	if err := b.unstage(ctx); err != nil {
		return lacks(err)
	}
	defer func() { err = errors.Join(err, b.unstage(context.WithoutCancel(ctx))) }()
	if err := b.stageRecord(ctx); err != nil {
		return lacks(err)
	}
	for _, order := range kernel.Rehearsals(b.opts.Now()) {
		want := render(order, b.opts, [len(families)]bool{true, true})
		if err := b.perform(ctx, want); err != nil {
			return lacks(err)
		}
	}
	return nil
}

// stageRecord writes down which tables and chains of iptables-nft are not there, and
// so come into being by the rehearsal.
func (b *Backend) stageRecord(ctx context.Context) error {
	var have state
	if err := b.readMissing(ctx, &have); err != nil {
		return err
	}
	var l lines
	l.addf("create %s bitmap:port range 0-65535", stageMade)
	l.each("add", stageMade, content{ports: have.missing})
	return b.restoreSets(ctx, l.String())
}

// perform loads a program under other names.
func (b *Backend) perform(ctx context.Context, want program) error {
	s := changes(state{}, want, b.opts.Now())
	if err := b.restoreSets(ctx, staged.Replace(s.prepare)); err != nil {
		return err
	}
	for i, f := range families {
		if f.absent() {
			continue
		}
		var l lines
		for _, t := range want.tables[i] {
			t.stage(&l)
		}
		b.memory.rules = nil
		if err := b.restoreFamily(ctx, f, staged.Replace(l.String())); err != nil {
			return b.explain(ctx, f, want.tables[i], err)
		}
	}
	return b.restoreSets(ctx, staged.Replace(s.arm+s.tidy))
}

// stage writes the chains, and the rules that lead to them into one that no packet
// meets.
func (t table) stage(l *lines) {
	const hooks = chainMain + "_HOOKS"
	l.addf("*%s\n:%s - [0:0]", t.name, hooks)
	for _, c := range t.chains {
		l.addf(":%s - [0:0]", c.name)
	}
	for _, j := range t.jumps {
		l.addf("-A %s %s -j %s", hooks, j.matches, j.chain)
	}
	for _, c := range t.chains {
		for _, rule := range c.rules {
			l.addf("-A %s %s", c.name, rule)
		}
	}
	l.addf("COMMIT")
}

// unstage removes what is left of a rehearsal. Its sets come first and go last.
func (b *Backend) unstage(ctx context.Context) error {
	names, err := b.run(ctx, "", "ipset", "list", "-n")
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(strings.Fields(names), func(name string) bool { return !isStaged(name) })
	if len(left) == 0 {
		return nil
	}
	for _, f := range families {
		if err := b.unstageFamily(ctx, f); err != nil {
			return err
		}
	}
	if slices.Contains(left, stageMade) {
		text, err := b.run(ctx, "", "ipset", "save", stageMade)
		if err != nil {
			return err
		}
		var have state
		if err := errors.Join(have.parseSets(text, b.opts.Now()), b.unmake(have.contents[stageMade].ports)); err != nil {
			return err
		}
		left = append(slices.DeleteFunc(left, func(name string) bool { return name == stageMade }), stageMade)
	}
	return b.destroySets(ctx, "destroy "+strings.Join(left, "\ndestroy ")+"\n")
}

// unstageFamily removes the chains of a rehearsal.
func (b *Backend) unstageFamily(ctx context.Context, f family) error {
	if f.absent() {
		return nil
	}
	var l lines
	for _, name := range tableNames {
		text, err := b.run(ctx, "", b.iptables(f, "-save"), "-t", name)
		if err != nil {
			return err
		}
		parseTable(text, isStaged).remove(name, &l)
	}
	if l.Len() == 0 {
		return nil
	}
	b.memory.rules = nil
	return b.restoreFamily(ctx, f, l.String())
}

// explain says which matches and targets are missing, where rules do not load.
func (b *Backend) explain(ctx context.Context, f family, tables []table, cause error) error {
	if !kernel.MayLack(cause) {
		return cause
	}
	var names []string
	for _, t := range tables {
		lacking, _ := kernel.Missing(t.allRules(), abilities, func(rule string) error {
			return b.restoreFamily(ctx, f, staged.Replace(fmt.Sprintf("*%s\n:%s - [0:0]\n-A %s %s\nCOMMIT\n", t.name, probe, probe, withoutJump(rule))))
		})
		names = append(names, lacking...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return cause
	}
	return kernel.Lack(f.tool+" "+strings.Join(names, ", "), cause,
		"modprobe -a "+strings.Join(modules(names), " ")+"; if that does not help, install a newer iptables or use --backend nftables")
}

// probe is the chain in which one rule is tried.
const probe = chainMain + "_PROBE"

// allRules returns the rules of a table, with what a rule that leads to a chain has
// to match.
func (t table) allRules() (rules []string) {
	for _, j := range t.jumps {
		rules = append(rules, j.matches)
	}
	for _, c := range t.chains {
		rules = append(rules, c.rules...)
	}
	return rules
}

// withoutJump returns a rule without its target if that is a chain of ours.
func withoutJump(rule string) string {
	fields := strings.Fields(rule)
	for i := 0; i+1 < len(fields); i++ {
		if (fields[i] == "-j" || fields[i] == "-g") && strings.HasPrefix(fields[i+1], chainMain) {
			return strings.Join(fields[:i], " ")
		}
	}
	return rule
}

// abilities returns the matches and targets of a rule: "-m socket", "-j NFLOG".
func abilities(rule string) (all []string) {
	fields := strings.Fields(withoutJump(rule))
	for i := 0; i+1 < len(fields); i++ {
		if fields[i] == "-m" || fields[i] == "-j" {
			all = append(all, fields[i]+" "+fields[i+1])
		}
	}
	return all
}

// modules returns the modules of the kernel that have abilities.
func modules(abilities []string) (names []string) {
	for _, ability := range abilities {
		if !strings.HasPrefix(ability, "-m ") && !strings.HasPrefix(ability, "-j ") || strings.Count(ability, " ") > 1 {
			continue // a rule
		}
		name := "xt_" + ability[3:]
		switch ability {
		case "-j SET":
			name = "xt_set"
		case "-m tcp", "-m udp":
			name = "xt_tcpudp"
		}
		names = append(names, name)
	}
	return append(names, "ip_set")
}

// lacks returns the error of a rehearsal, in which nothing but a lack fails in
// these ways.
func lacks(err error) error {
	if !kernel.MayLack(err) || portsnare.KindOf(err) == portsnare.Unavailable {
		return err
	}
	return kernel.Lack("ipset", err, tools.Hint)
}

// diagnose looks for what is missing if a program of the kernel's tools has refused
// its input, and returns that, or else the error.
func (b *Backend) diagnose(ctx context.Context, err error) error {
	if (errors.Is(err, portsnare.Invalid) || errors.Is(err, portsnare.Unavailable)) && b.able() == nil {
		if cause := b.rehearse(ctx); cause != nil {
			return cause
		}
	}
	return err
}

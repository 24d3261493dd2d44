package nftables

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// stage is the table of a rehearsal. It never comes into being: nft -c has the
// kernel take all of a transaction, and take it back.
const stage = ours + "_check"

// staged puts what is ours in a text into the table of a rehearsal.
var staged = strings.NewReplacer(ours, stage)

// rehearse has the kernel try all that any order may need. The error is of kind
// [portsnare.Unavailable] if something is missing, and says what.
func (b *Backend) rehearse(ctx context.Context) error {
	for _, order := range kernel.Rehearsals(b.opts.Now()) {
		want := render(order, b.opts, [len(families)]bool{true, true})
		err := b.try(ctx, changes(newState(), want, b.opts.Now()).arm)
		if kernel.MayLack(err) {
			return b.explain(ctx, want, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// try has the kernel try a transaction.
func (b *Backend) try(ctx context.Context, text string) error {
	_, err := b.opts.run.nft(ctx, staged.Replace(text), "-c", "-f", "-")
	return err
}

// explain says what is missing, where a table does not load.
func (b *Backend) explain(ctx context.Context, t table, cause error) error {
	names, _ := kernel.Missing(t.statements(), abilities, func(statement string) error {
		return b.try(ctx, t.around(statement))
	})
	return kernel.Lack("nftables "+strings.Join(names, ", "), cause,
		tools.Hint+"; it takes Linux 5.11 and nft 0.9.8; if that does not help, use --backend ipset")
}

// statements returns what a table is made of, one by one: rules, and sets by the
// lines of their declarations.
func (t table) statements() (all []string) {
	for _, s := range t.sets {
		all = append(all, setWord+strings.Join(s.lines, "; "))
	}
	for _, c := range t.chains {
		if c.hook.name != "" {
			all = append(all, hookWord+c.hook.name+" "+c.hook.words)
		}
		all = append(all, c.rules...)
	}
	return all
}

// What a statement begins with that is no rule.
const (
	setWord  = "set of "
	hookWord = "hook "
)

// around returns a table in which a statement makes sense.
func (t table) around(statement string) string {
	var l lines
	l.addf("table %s {", ours)
	if lines, ok := strings.CutPrefix(statement, setWord); ok {
		l.addf("set probe {\n%s\n}\n}", strings.ReplaceAll(lines, "; ", "\n"))
		return l.String()
	}
	if hook, ok := strings.CutPrefix(statement, hookWord); ok {
		name, priority, _ := strings.Cut(hook, " ")
		l.addf("chain probe { type filter hook %s priority %s; policy accept; }\n}", name, priority)
		return l.String()
	}
	for _, s := range t.sets {
		if strings.Contains(statement+" ", "@"+s.name+" ") {
			s.declare(&l)
		}
	}
	for _, c := range t.chains {
		if strings.HasSuffix(statement, "goto "+c.name) {
			l.addf("chain %s { }", c.name)
		}
	}
	l.addf("chain probe {\n%s\n}\n}", statement)
	return l.String()
}

// words are the expressions of nft that a kernel or a program may not know.
var words = regexp.MustCompile(`socket wildcard|fib [sd]addr|ct [a-z]+|tcp option [a-z-]+|tcp flags|limit rate|log prefix|snaplen|` +
	`(?:add|update) @|meta [a-z0-9]+|[io]if |th dport|goto|counter|size|timeout|dynamic|interval|inet_proto|nf_proto|inet_service|ipv[46]_addr|hook [a-z]+`)

// abilities returns the expressions of a statement.
func abilities(statement string) (all []string) {
	for _, word := range words.FindAllString(statement, -1) {
		all = append(all, fmt.Sprintf("%q", strings.TrimSpace(word)))
	}
	return slices.Compact(all)
}

// diagnose looks for what is missing if nft has refused its input, and returns that,
// or else the error.
func (b *Backend) diagnose(ctx context.Context, err error) error {
	if (errors.Is(err, portsnare.Invalid) || errors.Is(err, portsnare.Unavailable)) && b.able() == nil {
		if cause := b.rehearse(ctx); cause != nil {
			return cause
		}
	}
	return err
}

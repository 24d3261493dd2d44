// Package clouds is the table of every kind of provider: what the configuration
// asks of it, and how its firewall is opened. A cloud is one file here, which adds
// itself to the table, and a package under providers.
package clouds

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator"
)

// Cloud is all that the commands know of one kind of provider.
type Cloud struct {
	Kind string // its name in the configuration
	Rank int    // its place in messages and tables, the lowest first
	Keys []Key  // that its section takes beside kind and, where it makes calls, timeout

	// Firewall is the form of a firewall's id; nil where there is no firewall.
	Firewall *Form

	// CallTimeout is how long a call may take where the configuration does not say;
	// 0 for one that calls nobody.
	CallTimeout time.Duration

	// Open returns the provider's hold on a firewall. It sends nothing yet.
	Open func(context.Context, Target) (Firewall, error)

	// Unasked is what to say of permissions where the provider cannot ask for them;
	// "" for nothing.
	Unasked string

	// Limit and Counts say for the documents how many rules there may be, and what
	// counts as one.
	Limit, Counts string
}

// Firewall is a cloud firewall, and the life of a call to it.
type Firewall interface {
	rotator.Firewall
	// CallTimeout returns how long after its beginning a write can still land.
	CallTimeout() time.Duration
}

// Target is a firewall of a group, and whose rules in it are ours.
type Target struct {
	Settings Settings
	Firewall string           // by the provider's own id
	Mark     portsnare.Mark   // of new rules
	Former   []portsnare.Mark // that rules of ours may still bear
	Timeout  time.Duration    // of one call; 0 for the usual
}

// Form is what a text looks like.
type Form struct {
	Want    string // in words
	Pattern *regexp.Regexp
}

// Sort is what a key takes.
type Sort int

// The sorts of key.
const (
	Name   Sort = iota // a name without spaces
	Number             // from 1 to 65535
	Flag               // true or false
)

// Key is one that the section of a provider takes. Clouds that take a key of one
// name take the same sort of it.
type Key struct {
	Name   string
	Rank   int // its place among the keys of all clouds
	Sort   Sort
	Narrow *Form  // what this cloud demands of a Name; may be nil
	Doc    string // what it is for, in a sentence, for this cloud
}

// Settings are the values of keys by their names. What was not given is zero.
type Settings map[string]any

// Text returns the value of a key that takes a name, or "".
func (s Settings) Text(key string) string { text, _ := s[key].(string); return text }

// Number returns the value of a key that takes a number, or 0.
func (s Settings) Number(key string) int { n, _ := s[key].(int); return n }

// Flag returns the value of a key that takes true or false, or false.
func (s Settings) Flag(key string) bool { on, _ := s[key].(bool); return on }

// table is every cloud. Each file of this package adds one.
var table []Cloud

// add is called while variables are made, so there is no order to rely on but Rank.
func add(c Cloud) Cloud {
	table = append(table, c)
	return c
}

// All returns every cloud, in the order of their ranks.
func All() []Cloud {
	return slices.SortedFunc(slices.Values(table), func(a, b Cloud) int { return cmp.Compare(a.Rank, b.Rank) })
}

// Find returns the cloud of a kind, and whether there is one.
func Find(kind string) (Cloud, bool) {
	i := slices.IndexFunc(table, func(c Cloud) bool { return c.Kind == kind })
	if i < 0 {
		return Cloud{}, false
	}
	return table[i], true
}

// Takes returns the key of that name, and whether the cloud takes it.
func (c Cloud) Takes(name string) (Key, bool) {
	i := slices.IndexFunc(c.Keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return c.Keys[i], true
}

// Keys returns every key that some cloud takes, once each, in the order of their
// ranks. Doc says what each is for with which cloud.
func Keys() []Key {
	var all []Key
	for _, c := range All() {
		for _, k := range c.Keys {
			doc := "For " + c.Kind + ": " + k.Doc
			if i := slices.IndexFunc(all, func(other Key) bool { return other.Name == k.Name }); i >= 0 {
				all[i].Doc += " " + doc
				continue
			}
			k.Doc = doc
			all = append(all, k)
		}
	}
	slices.SortStableFunc(all, func(a, b Key) int { return cmp.Compare(a.Rank, b.Rank) })
	return all
}

// Open returns the hold of a kind of provider on a firewall. It asks nobody yet.
// An unknown kind, which no configuration has, is [portsnare.Invalid].
func Open(ctx context.Context, kind string, t Target) (Firewall, error) {
	c, known := Find(kind)
	if !known {
		return nil, &portsnare.Error{Kind: portsnare.Invalid, Op: "open provider of kind", Subject: kind}
	}
	return c.Open(ctx, t)
}

// opened returns a firewall of any provider as one of ours, and none beside an
// error.
func opened[F Firewall](f F, err error) (Firewall, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// uuid returns the form of an id that is a UUID; example is one.
func uuid(of, example string) *Form {
	return &Form{Want: strings.TrimSpace(of) + " such as " + example, Pattern: uuidPattern}
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

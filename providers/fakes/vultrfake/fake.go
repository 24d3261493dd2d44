package vultrfake

import (
	"net/http"
	"sync"
	"time"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// What an [Options] without them means. 50 is the limit in every example of
// Vultr's documentation, and 30 requests a second are what one address may send
// (https://www.vultr.com/api/, checked 2026-11-21).
const (
	DefaultAPIKey   = "EXAMPLEAPIKEY0123456789ABCDEFGHIJKLM"
	DefaultMaxRules = 50
	DefaultRate     = 30
)

// Options is what a [Fake] is made of. The zero value is usable.
type Options struct {
	// APIKeys are the keys that are known. DefaultAPIKey if empty.
	APIKeys []string

	// Allow says whether the user of a key may call an action. nil allows all.
	Allow func(apiKey, action string) bool

	// MaxRules is how many rules a group may hold, of both families together.
	// DefaultMaxRules if 0.
	MaxRules int

	// Rate is how many requests of one address are answered in any second.
	// DefaultRate if 0, no limit if negative.
	Rate int

	// ReuseNumbers gives a new rule the lowest number that is free, also when
	// another rule had it before. Without it numbers only grow.
	ReuseNumbers bool

	// EmptySource answers plain rules with an empty source, as documented.
	EmptySource bool

	// LongIPv6 spells IPv6 subnets in full.
	LongIPv6 bool

	// Now is the clock. time.Now if nil.
	Now func() time.Time
}

// A Fake is a Vultr API. It is an http.Handler, and may be used from several
// goroutines at once.
type Fake struct {
	fakeapi.Desk[Call] // calls are logged when their outcome is decided

	options Options
	store   *store
	mux     *http.ServeMux

	mu     sync.Mutex             // guards what follows
	recent map[string][]time.Time // answered requests of the last second, by address
}

// New returns a fake without groups.
func New(o Options) *Fake {
	if len(o.APIKeys) == 0 {
		o.APIKeys = []string{DefaultAPIKey}
	}
	if o.Allow == nil {
		o.Allow = func(string, string) bool { return true }
	}
	if o.MaxRules == 0 {
		o.MaxRules = DefaultMaxRules
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Fake{options: o, store: newStore(o), recent: map[string][]time.Time{}}
	f.mux = f.newMux()
	return f
}

// CreateGroup makes a firewall group without rules and returns its id, a UUID.
func (f *Fake) CreateGroup(description string) string { return f.store.create(description) }

// DeleteGroup removes a group with its rules, if it is there. It does not run
// [Fake.OnChange].
func (f *Fake) DeleteGroup(groupID string) { f.store.remove(groupID) }

// Detach takes a group away from the one instance that each has at first.
func (f *Fake) Detach(groupID string) { f.store.detach(groupID) }

// Rules returns the rules of a group by number. An absent group has none.
func (f *Fake) Rules(groupID string) []Rule { return f.store.rules(groupID) }

// AddRule adds a rule to a group and returns it with its number; that of r is
// ignored. Errors are those of CreateRule, as *[Error]; with that of a failed
// [Fake.OnChange] comes the rule, as it is there.
func (f *Fake) AddRule(groupID string, r Rule) (Rule, error) {
	if err := r.check(); err != nil {
		return Rule{}, err
	}
	made, _, err := f.store.add(groupID, r)
	return made, err
}

// RemoveRule removes a rule of a group. Errors are those of DeleteRule, as
// *[Error].
func (f *Fake) RemoveRule(groupID string, number int) error {
	_, err := f.store.drop(groupID, number)
	return err
}

// OnChange has notify called after every change of a group's rules, with all of
// them by number, before the caller gets its reply. Its calls never overlap and
// come in the order of the changes. It must not change rules itself. If it
// fails the change stands and the caller gets an internal error. nil ends it.
func (f *Fake) OnChange(notify func(groupID string, rules []Rule) error) {
	f.store.setOnChange(notify)
}

// Freeze lets the next lists, and the counts of groups, show the rules as they
// are now, whatever changes meanwhile. It ends after that many calls of
// ListRules; 0 means that only [Fake.Thaw] ends it. A rule asked for by its
// number is told as it is.
func (f *Fake) Freeze(lists int) { f.store.freeze(lists, time.Time{}) }

// FreezeFor is a [Fake.Freeze] that ends after a time.
func (f *Fake) FreezeFor(d time.Duration) { f.store.freeze(0, f.options.Now().Add(d)) }

// Thaw ends a [Fake.Freeze].
func (f *Fake) Thaw() { f.store.thaw() }

package dofake

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// DefaultToken is the token that may do everything, unless Options say else.
const DefaultToken = "dop_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Scopes are those that a token can have here.
var Scopes = []string{"firewall:read", "firewall:create", "firewall:update", "firewall:delete", "droplet:read", "tag:read"}

// Options is what a [Fake] is made of. The zero value is usable.
type Options struct {
	// Tokens are the tokens that may call, with the scopes of each.
	// DefaultToken with all Scopes if nil.
	Tokens map[string][]string

	// Droplets are by id the tags that each bears.
	Droplets map[int][]string

	// Pending is for how many reads after a change of a firewall its Droplets
	// do not have it yet.
	Pending int

	// Unmetered lets tokens call as often as they like.
	Unmetered bool

	// Now is the clock of the rates and the call log. time.Now if nil.
	Now func() time.Time
}

// A Fake is DigitalOcean. It is an http.Handler and may be used from several
// goroutines at once.
type Fake struct {
	fakeapi.Desk[Call] // calls are logged when they arrive

	tokens    map[string][]string
	droplets  map[int][]string
	tags      map[string]bool
	delay     int
	unmetered bool
	now       func() time.Time

	mu        sync.Mutex // guards what follows
	firewalls map[string]Firewall
	past      fakeapi.Past[map[string]Firewall] // what reads see
	last      int                               // number of the newest firewall
	meters    map[string]*meter
}

// New returns a fake without firewalls.
func New(o Options) *Fake {
	if o.Tokens == nil {
		o.Tokens = map[string][]string{DefaultToken: Scopes}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Fake{
		tokens: o.Tokens, droplets: o.Droplets, tags: map[string]bool{}, delay: o.Pending, unmetered: o.Unmetered,
		now: o.Now, firewalls: map[string]Firewall{}, meters: map[string]*meter{},
	}
	for _, tags := range o.Droplets {
		for _, tag := range tags {
			f.tags[tag] = true
		}
	}
	return f
}

// Freeze lets the next reads of firewalls see them as they are now, whatever
// changes meanwhile. It ends after that many reads; 0 means that only
// [Fake.Thaw] ends it.
func (f *Fake) Freeze(reads int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.past.Freeze(maps.Clone(f.firewalls), reads)
}

// Thaw ends a [Fake.Freeze].
func (f *Fake) Thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.past.Thaw()
}

// view returns the firewalls as a read sees them, and brings what is pending
// nearer.
func (f *Fake) view() map[string]Firewall {
	seen := maps.Clone(f.firewalls)
	for id, fw := range f.firewalls {
		if fw.pending > 0 {
			fw.pending--
			f.firewalls[id] = fw
		}
	}
	defer f.past.Count()
	return f.past.Look(seen)
}

// members returns the Droplets that a firewall is in force for, sorted.
func (f *Fake) members(fw Firewall) []int {
	var ids []int
	for id, tags := range f.droplets {
		if slices.Contains(fw.DropletIDs, id) || meet(tags, fw.Tags) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

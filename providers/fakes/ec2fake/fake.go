package ec2fake

import (
	"slices"
	"time"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// What an [Options] without them means. The key is the one that AWS's own
// documentation uses.
const (
	DefaultRegion      = "us-east-1"
	DefaultAccessKeyID = "AKIAIOSFODNN7EXAMPLE"
	DefaultRuleLimit   = 60
)

// Options is what a [Fake] is made of. The zero value is usable.
type Options struct {
	// Region is where groups are made. DefaultRegion if empty.
	Region string

	// EmptyRegions are further regions whose endpoint this server is. They
	// hold no group, so whoever takes a wrong region is told InvalidGroup.NotFound,
	// as by AWS. Any other region is refused with AuthFailure.
	EmptyRegions []string

	// AccessKeyIDs are the keys that may sign. DefaultAccessKeyID if empty.
	AccessKeyIDs []string

	// Allow is the policy: whether a key may call an action, such as
	// "RevokeSecurityGroupIngress". nil allows everything.
	Allow func(accessKeyID, action string) bool

	// RuleLimit is the quota of inbound rules of a group, for IPv4 and for
	// IPv6 apart. DefaultRuleLimit if 0.
	RuleLimit int

	// Now is the clock of the call log. time.Now if nil.
	Now func() time.Time
}

// A Fake is an EC2 endpoint. It is an http.Handler; [Fake.Serve] is a server
// around it. It may be used from several goroutines at once.
type Fake struct {
	fakeapi.Desk[Call] // calls are logged when their outcome is decided

	home    *store
	regions map[string]*store
	keys    map[string]bool
	allow   func(accessKeyID, action string) bool
	now     func() time.Time
}

// New returns a fake without groups.
func New(o Options) *Fake {
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if len(o.AccessKeyIDs) == 0 {
		o.AccessKeyIDs = []string{DefaultAccessKeyID}
	}
	if o.Allow == nil {
		o.Allow = func(string, string) bool { return true }
	}
	if o.RuleLimit == 0 {
		o.RuleLimit = DefaultRuleLimit
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Fake{regions: map[string]*store{}, keys: map[string]bool{}, allow: o.Allow, now: o.Now}
	for _, region := range append(slices.Clone(o.EmptyRegions), o.Region) {
		f.regions[region] = newStore(region, o.RuleLimit)
	}
	f.home = f.regions[o.Region]
	for _, id := range o.AccessKeyIDs {
		f.keys[id] = true
	}
	return f
}

// CreateGroup makes a security group with no inbound rule and the default
// outbound one, and returns its id. The first is sg-00000000000000001.
func (f *Fake) CreateGroup(name string) string { return f.home.create(name) }

// DeleteGroup removes a group with its rules, if it is there. It does not run
// [Fake.OnChange].
func (f *Fake) DeleteGroup(groupID string) { f.home.remove(groupID) }

// Rules returns the inbound rules of a group, sorted by id, which is the order
// in which they were made. An absent group has none.
func (f *Fake) Rules(groupID string) []Rule { return f.home.rules(groupID) }

// AddRule adds an inbound rule to a group and returns its id. ID and GroupID of
// r are ignored. Errors are those of AuthorizeSecurityGroupIngress, as *[Error];
// with that of a failed [Fake.OnChange] comes an id, as the rule is there.
func (f *Fake) AddRule(groupID string, r Rule) (ruleID string, err error) {
	if err := checkTags(r.Tags); err != nil {
		return "", err
	}
	added, committed, err := f.home.authorize(write{groupID: groupID}, []draft{r.draft()}, r.Tags)
	if !committed {
		return "", err
	}
	return added[0].ID, err
}

// EditRule makes the rule r.ID of a group what r says; nil Tags leave the tags.
// Errors are those of ModifySecurityGroupRules, as *[Error].
func (f *Fake) EditRule(groupID string, r Rule) error {
	if err := checkTags(r.Tags); err != nil {
		return err
	}
	_, err := f.home.modify(write{groupID: groupID}, []update{{r.ID, r.draft(), r.Tags}})
	return err
}

// RemoveRule removes an inbound rule of a group. Errors are those of
// RevokeSecurityGroupIngress, as *[Error].
func (f *Fake) RemoveRule(groupID, ruleID string) error {
	_, _, err := f.home.revoke(write{groupID: groupID}, func(g group) ([]int, error) {
		return pickByID(g, []string{ruleID})
	})
	return err
}

// OnChange has f called after every change of a group's inbound rules, with all
// of them sorted by id, before the caller gets its reply: once the reply is
// out, the change is in force wherever f put it. Calls of f never overlap and
// come in the order of the changes. f must not change rules itself. If it fails
// the change stands and the caller gets InternalError. nil ends it.
func (f *Fake) OnChange(notify func(groupID string, rules []Rule) error) {
	f.home.setOnChange(notify)
}

// Freeze lets the next describe calls see the rules as they are now, whatever
// changes meanwhile: EC2 is eventually consistent. It ends after that many
// calls; 0 means that only [Fake.Thaw] ends it. Writes are not affected.
func (f *Fake) Freeze(calls int) { f.home.freeze(calls) }

// Thaw ends a [Fake.Freeze].
func (f *Fake) Thaw() { f.home.thaw() }

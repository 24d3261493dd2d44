package providertest

import (
	"context"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

// Firewall is what a rotation needs of a provider.
type Firewall interface {
	Rules(ctx context.Context) ([]portsnare.Rule, error)
	Limits(ctx context.Context) (portsnare.Limits, error)
	Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error)
	// CallTimeout returns how long after its beginning a write can still land.
	CallTimeout() time.Duration
}

// Provider is a provider as the walk sees it.
type Provider struct {
	// Mark is that of the rules that are ours. That of the first version, the
	// group's name alone, is a former one of ours.
	Mark portsnare.Mark

	// New returns a fresh firewall that holds room rules where that can be
	// chosen, and as many as the vendor's otherwise or where room is 0.
	New func(t *testing.T, room int) Subject

	// Writes returns the fewest writing calls by which a plan made from the
	// rules in have can be carried out, as worked out on paper.
	Writes func(have []portsnare.Rule, plan portsnare.Plan) int

	Forms  []Form  // that a human can give to a rule
	Faults []Fault // that can be injected
}

// Subject is one firewall and everything around it that a test can reach.
type Subject struct {
	Firewall Firewall
	Human    Human
	Writes   func() int                 // writing calls of Firewall so far, failed ones included
	Faults   Faults                     // nil where none can be injected
	Remove   func() error               // removes the firewall itself; nil where it must stay
	Rename   func(portsnare.Mark) error // gives the firewall the name for a mark, where the name is the mark; else nil
	Hasten   func(time.Duration)        // lets calls live no longer than that; nil where they cannot
	Settle   func()                     // waits until a list shows what was written; nil where it does at once
}

// Standing is a rule as it stands in the cloud, whatever a list says that lags
// behind. As in [portsnare.Rule], several may share an ID.
type Standing struct {
	portsnare.Rule
	Raw string // all that the vendor keeps of the rule; equal texts, equal rules
}

// Form is a sort of rule that a human can make.
type Form string

// The forms.
const (
	Plain  Form = "plain"  // admits an address prefix, without our mark
	Marked Form = "marked" // bears our mark, as if it were ours
	Deny   Form = "deny"   // refuses an address prefix
	Named  Form = "named"  // admits a source that is no address prefix; Opening.Source is not used

	// Rules of Portsnare that bear another mark than ours; see [MarkOf].
	Former     Form = "former"      // of our group, by the first version
	OtherOwner Form = "other-owner" // of another owner's group of the same name
	OtherGroup Form = "other-group" // of another group of our owner
	OldGroup   Form = "old-group"   // of another group, by the first version
)

// Human is somebody at the console, who changes rules and does not ask. Its
// calls do not count as writes and meet no faults.
type Human interface {
	// Rules returns every inbound rule.
	Rules() ([]Standing, error)
	// Add makes a rule and returns its ID.
	Add(form Form, o portsnare.Opening) (id string, err error)
	// Edit lets a rule admit o and keeps its mark. Where a rule cannot be edited
	// it is removed and made again. It returns the ID that the rule then has.
	Edit(id string, o portsnare.Opening) (string, error)
	// Remove removes a rule.
	Remove(id string) error
}

// Fault is a way in which a call goes wrong.
type Fault string

// The faults. Those that are late hit after the call was carried out.
const (
	LostRequest  Fault = "lost-request"  // the connection closes before anything is done
	LostReply    Fault = "lost-reply"    // late: the connection closes instead of the answer
	Throttled    Fault = "throttled"     // too many calls, and no word of when to come again
	ThrottledFor Fault = "throttled-for" // too many calls, come again in RetryAfter
	ServerError  Fault = "server-error"  // the vendor's own failure
	LateError    Fault = "late-error"    // late: the same
	BadGateway   Fault = "bad-gateway"   // a page of HTML from something on the way
	LateGateway  Fault = "late-gateway"  // late: the same
	OddAnswer    Fault = "odd-content"   // late: the answer comes with another Content-Type
	Hang         Fault = "hang"          // no answer until the caller gives up
	Silence      Fault = "silence"       // late: the same
	Refusal      Fault = "refusal"       // the call is refused, in the words that a Trouble has
)

// RetryAfterSeconds is what a ThrottledFor answer says.
const RetryAfterSeconds = 7

// Call is a sort of call.
type Call string

// The sorts of call.
const (
	Read  Call = "read"
	Write Call = "write"
)

// Trouble is a fault and when it strikes.
type Trouble struct {
	Fault Fault
	Call  Call   // which calls it strikes
	Skip  int    // how many of them go well first
	Times int    // how many of them it strikes then
	Words string // of a Refusal
}

// Faults makes calls fail. What it does lasts until Clear.
type Faults interface {
	// Inject adds a trouble to those that are there; the first that strikes a
	// call decides.
	Inject(Trouble)
	// Freeze lets the next lists show the rules as they are now.
	Freeze(lists int)
	// Clear ends all troubles and thaws.
	Clear()
}

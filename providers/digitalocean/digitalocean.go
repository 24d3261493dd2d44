package digitalocean

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
	"github.com/portsnare/portsnare/providers/rest"
)

// DefaultEndpoint is where DigitalOcean's own API is.
const DefaultEndpoint = "https://api.digitalocean.com"

// MaxRules is how many rules a firewall may hold, inbound and outbound together
// (https://docs.digitalocean.com/products/networking/firewalls/details/limits/,
// checked 2026-11-21).
const MaxRules = 50

// maxSources is how many sources a rule may have (same page).
const maxSources = 1000

// NamePrefix is what the name of a firewall of ours begins with.
const NamePrefix = "portsnare-"

// Name returns the name of the firewall that holds the rules of a mark, which is
// how DigitalOcean can tell whose they are: portsnare-OWNER.GROUP, or
// portsnare-GROUP for a mark of the first version. DigitalOcean takes letters,
// digits, periods and hyphens, and names of owners and groups hold no period.
func Name(mark portsnare.Mark) string {
	return NamePrefix + strings.Replace(string(mark), "/", ".", 1)
}

// toMark returns the mark of the rules in a firewall of this name, or "" for one
// that is not Portsnare's.
func toMark(name string) portsnare.Mark {
	text, ours := strings.CutPrefix(name, NamePrefix)
	mark, err := portsnare.ParseMark(strings.Replace(text, ".", "/", 1))
	if !ours || err != nil || Name(mark) != name {
		return ""
	}
	return mark
}

// Scopes is what a token must be allowed; ReplaceScopes is needed beside them
// for Options.Replace.
var (
	Scopes        = []string{"firewall:read", "firewall:update"}
	ReplaceScopes = []string{"droplet:read", "tag:read"}
)

const (
	pendingWait  = 90 * time.Second // for a change to reach the Droplets
	pendingEvery = time.Second
)

// ourPace is that of all firewalls of this process together, as a token may call
// 250 times in any minute
// (https://docs.digitalocean.com/reference/api/digitalocean/#section/Introduction/Rate-Limit,
// checked 2026-11-21).
var ourPace = newPace()

// newPace lets 240 calls through in any minute, the first 20 at once.
func newPace() *rate.Limiter { return rate.NewLimiter(rate.Every(time.Minute/220), 20) }

// Options says which firewall holds the traps, whose they are, and how the API
// is reached.
type Options struct {
	FirewallID string            // a UUID
	Mark       portsnare.Mark    // of the rules that are ours
	Former     []portsnare.Mark  // that they had before; a firewall named after one is ours too
	Replace    bool              // change the firewall by one PUT
	Token      string            // a secret
	Endpoint   string            // of the API, where it is not DefaultEndpoint
	Transport  http.RoundTripper // http.DefaultTransport if nil
	Pace       *rate.Limiter     // of requests; if nil, one that all firewalls of this process share
}

// Firewall is one Cloud Firewall. It may be used from several goroutines, but
// writes of one firewall must be made one after the other.
type Firewall struct {
	client  *godo.Client
	api     *rest.Client
	id      string
	mark    portsnare.Mark
	former  []portsnare.Mark
	replace bool
	wait    time.Duration // for what is pending
	every   time.Duration // look at what is pending
	seesAll atomic.Bool   // the token may see all that can be attached
}

// cloud: the first variable is that of DigitalOcean's Terraform provider, the
// second that of doctl.
var cloud = rest.Cloud{
	Name: "digitalocean", Endpoint: DefaultEndpoint, EndpointVariable: "DIGITALOCEAN_API_URL",
	Token: "token", TokenVariables: []string{"DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"},
	Letters: regexp.MustCompile(`^[!-~]+$`), HintToken: hintToken, Pace: ourPace,
}

// Open is [New] with the token and the address of the environment where o has
// none. An environment that cannot be is [portsnare.Invalid], one without a
// token is [portsnare.Denied].
func Open(o Options) (*Firewall, error) {
	found, err := cloud.Environment(o.rest())
	if err != nil {
		return nil, err
	}
	o.Token, o.Endpoint = found.Token, found.Endpoint
	return New(o)
}

// New returns a firewall. It sends nothing yet: what is wrong with the token or
// the firewall, the first call tells. Options that cannot be are
// [portsnare.Invalid].
func New(o Options) (*Firewall, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	api, err := cloud.NewClient(o.rest())
	if err != nil {
		return nil, err
	}
	// Without retrying: the SDK would send a write again whose reply was lost.
	client := godo.NewClient(api.HTTP)
	client.BaseURL = api.Endpoint
	return &Firewall{
		client: client, api: api, id: o.FirewallID, mark: o.Mark, former: o.Former, replace: o.Replace,
		wait: pendingWait, every: pendingEvery,
	}, nil
}

func (o Options) rest() rest.Options {
	return rest.Options{Token: o.Token, Endpoint: o.Endpoint, Transport: o.Transport, Pace: o.Pace}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (o Options) check() error {
	if !uuid.MatchString(o.FirewallID) {
		return invalid("open firewall", o.FirewallID, errors.New("want an id such as bb4b2611-3d72-467b-8602-280330ecd65c"), hintID)
	}
	for _, mark := range append(slices.Clone(o.Former), o.Mark) {
		if _, err := portsnare.ParseMark(string(mark)); err != nil {
			return invalid("open firewall", o.FirewallID, failure.Local(err), "")
		}
	}
	return nil
}

// CallTimeout returns how long a call may take, and with it how long after its
// beginning a write can still be carried out. No call is made twice here.
func (f *Firewall) CallTimeout() time.Duration { return f.api.Timeout }

// Rules returns every inbound rule, as the Droplets have it: what is still on
// its way to them is waited for. In a firewall of another owner or group the rules
// bear that one's mark. An absent firewall is [portsnare.NotFound], one that is
// not Portsnare's [portsnare.Invalid].
func (f *Firewall) Rules(ctx context.Context) ([]portsnare.Rule, error) {
	fw, err := f.settledAs(ctx, f.get)
	if err != nil {
		return nil, err
	}
	// Of rules that say the same twice, a plan closes those that come later.
	slices.SortStableFunc(fw.InboundRules, func(a, b godo.InboundRule) int { return cmp.Compare(addresses(b), addresses(a)) })
	var rules []portsnare.Rule
	for _, r := range fw.InboundRules {
		told, err := toRules(r, f.markOf(fw))
		if err != nil {
			return nil, invalid("read the rules of", f.id, err, hintRule)
		}
		rules = append(rules, told...)
	}
	return rules, nil
}

// markOf returns the mark of the rules of a firewall. In one that is still named
// after a former mark of ours it is ours already: nobody but a person renames a
// firewall, and what is made there bears its name at once.
func (f *Firewall) markOf(fw *godo.Firewall) portsnare.Mark {
	mark := toMark(fw.Name)
	if slices.Contains(f.former, mark) {
		return f.mark
	}
	return mark
}

func addresses(r godo.InboundRule) int {
	if r.Sources == nil {
		return 0
	}
	return len(r.Sources.Addresses)
}

// Limits returns what is left of [MaxRules] beside the outbound rules. A firewall
// of another owner or group is [portsnare.Invalid]: it has no room for ours.
func (f *Firewall) Limits(ctx context.Context) (portsnare.Limits, error) {
	fw, err := f.getOurs(ctx)
	if err != nil {
		return portsnare.Limits{}, err
	}
	return portsnare.Limits{Rules: max(0, MaxRules-len(fw.OutboundRules)), Folds: true, InPlace: f.replace, Whole: f.replace}, nil
}

// getOurs reads the firewall and demands that it is ours.
func (f *Firewall) getOurs(ctx context.Context) (*godo.Firewall, error) {
	fw, err := f.get(ctx)
	if err == nil && f.markOf(fw) != f.mark {
		return nil, f.misnamed(fw)
	}
	return fw, err
}

func (f *Firewall) misnamed(fw *godo.Firewall) error {
	want := Name(f.mark)
	return invalid("use", f.id, failure.Ownf("the firewall is named %q, not %q", fw.Name, want), fmt.Sprintf(hintName, want))
}

// get reads the firewall and demands that it is Portsnare's.
func (f *Firewall) get(ctx context.Context) (*godo.Firewall, error) {
	var text bytes.Buffer
	err := f.call(ctx, opRead, func(ctx context.Context) error {
		text.Reset()
		request, err := f.client.NewRequest(ctx, http.MethodGet, "v2/firewalls/"+f.id, nil)
		if err == nil {
			_, err = f.client.Do(ctx, request, &text)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	fw, err := f.decode(text.Bytes())
	if err != nil {
		return nil, err
	}
	if toMark(fw.Name) == "" {
		return nil, f.misnamed(fw)
	}
	return fw, nil
}

// decode reads an answer. Where the firewall is to be written back whole, it
// must hold nothing that this version would lose.
func (f *Firewall) decode(text []byte) (*godo.Firewall, error) {
	var answer struct{ Firewall *godo.Firewall }
	if err := json.Unmarshal(text, &answer); err != nil || answer.Firewall == nil || answer.Firewall.ID != f.id {
		return nil, f.failure(opRead, portsnare.Transient, errNoAnswer, "")
	}
	if f.replace {
		strict := json.NewDecoder(bytes.NewReader(text))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&answer); err != nil {
			return nil, f.failure(opReplace, portsnare.Invalid, failure.Ownf("DigitalOcean tells more than this version knows (%w), which would be lost", err), hintReplace)
		}
	}
	return answer.Firewall, nil
}

// settled reads the firewall, which must be ours, until no change is on its way
// to a Droplet.
func (f *Firewall) settled(ctx context.Context) (*godo.Firewall, error) {
	return f.settledAs(ctx, f.getOurs)
}

func (f *Firewall) settledAs(ctx context.Context, get func(context.Context) (*godo.Firewall, error)) (*godo.Firewall, error) {
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	patience := time.NewTimer(f.wait)
	defer patience.Stop()
	for {
		fw, err := get(ctx)
		if err != nil || len(fw.PendingChanges) == 0 && fw.Status != "waiting" {
			return fw, err
		}
		select {
		case <-ticker.C:
		case <-patience.C:
			return nil, f.failure(opWait, portsnare.Transient, pendingError(fw), hintPending)
		case <-ctx.Done():
			return nil, f.failure(opWait, portsnare.Transient, context.Cause(ctx), "")
		}
	}
}

func pendingError(fw *godo.Firewall) error {
	if len(fw.PendingChanges) == 0 {
		return errors.New("changes are still pending")
	}
	return failure.Ownf("changes are still pending for %d Droplets, such as %d", len(fw.PendingChanges), fw.PendingChanges[0].DropletID)
}

package vultr

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/vultr/govultr/v3"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
	"github.com/portsnare/portsnare/providers/rest"
)

// DefaultEndpoint is where Vultr's own API is.
const DefaultEndpoint = "https://api.vultr.com"

// pageSize is how many rules a list returns at once, at most.
const pageSize = 500

// ourPace is that of all firewalls of this process together, as Vultr counts by
// the address that requests come from: at most 30 a second, of all programs
// there (https://www.vultr.com/api/, checked 2026-11-21). 25 is the most that it
// lets through in any second.
var ourPace = rate.NewLimiter(20, 5)

// Options says which firewall group holds the traps, whose they are, and how the
// API is reached.
type Options struct {
	GroupID   string            // of the firewall group, a UUID
	Mark      portsnare.Mark    // of the rules that are ours
	Former    []portsnare.Mark  // that they had before; rules with one can be closed
	APIKey    string            // a secret
	Endpoint  string            // of the API, where it is not DefaultEndpoint
	Transport http.RoundTripper // http.DefaultTransport if nil
	Pace      *rate.Limiter     // of requests; if nil, one that all firewalls of this process share
}

// Firewall is one firewall group. It may be used from several goroutines, but
// writes of one group are better made one after the other.
type Firewall struct {
	client  *govultr.Client
	api     *rest.Client
	groupID string
	mark    portsnare.Mark
	former  []portsnare.Mark
	page    int
}

var cloud = rest.Cloud{
	Name: "vultr", Endpoint: DefaultEndpoint, EndpointVariable: "VULTR_API_ENDPOINT",
	Token: "API key", TokenVariables: []string{"VULTR_API_KEY"},
	Letters: regexp.MustCompile(`^[A-Za-z0-9_-]+$`), HintToken: hintSecret, Pace: ourPace,
}

// Open is [New] with the key and the endpoint of the environment where o has
// none: VULTR_API_KEY or VULTR_API_KEY_FILE, and VULTR_API_ENDPOINT. An
// environment that cannot be is [portsnare.Invalid], one without a key is
// [portsnare.Denied].
func Open(o Options) (*Firewall, error) {
	found, err := cloud.Environment(o.rest())
	if err != nil {
		return nil, err
	}
	o.APIKey, o.Endpoint = found.Token, found.Endpoint
	return New(o)
}

// New returns a firewall group. It sends nothing yet: what is wrong with the key
// or the group, the first call tells. Options that cannot be are
// [portsnare.Invalid].
func New(o Options) (*Firewall, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	api, err := cloud.NewClient(o.rest())
	if err != nil {
		return nil, err
	}
	api.HTTP.Transport = transport{api.HTTP.Transport}
	client := govultr.NewClient(api.HTTP)
	client.BaseURL = api.Endpoint
	client.SetRetryLimit(0)
	return &Firewall{client, api, o.GroupID, o.Mark, o.Former, pageSize}, nil
}

func (o Options) rest() rest.Options {
	return rest.Options{Token: o.APIKey, Endpoint: o.Endpoint, Transport: o.Transport, Pace: o.Pace}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (o Options) check() error {
	if !uuid.MatchString(o.GroupID) {
		return invalid("open firewall group", o.GroupID, errors.New("want an id such as cb676a46-66fd-4dfb-b839-443f2e6c0b60"), hintGroup)
	}
	for _, mark := range append(slices.Clone(o.Former), o.Mark) {
		if _, err := portsnare.ParseMark(string(mark)); err != nil {
			return invalid("open firewall group", o.GroupID, failure.Local(err), "")
		}
	}
	return nil
}

// CallTimeout returns how long a call may take, and with it how long after its
// beginning a write can still be carried out. No call is made twice here.
func (f *Firewall) CallTimeout() time.Duration { return f.api.Timeout }

// Rules returns every rule of the group. A group that does not exist is
// [portsnare.NotFound].
func (f *Firewall) Rules(ctx context.Context) ([]portsnare.Rule, error) {
	listed, err := f.list(ctx)
	if err != nil {
		return nil, err
	}
	if len(listed) == 0 {
		// That nothing is listed is believed of a group only that is there.
		if _, err := f.group(ctx); err != nil {
			return nil, err
		}
	}
	rules := make([]portsnare.Rule, 0, len(listed))
	for _, r := range listed {
		rules = append(rules, toRule(r))
	}
	return rules, nil
}

func (f *Firewall) list(ctx context.Context) ([]govultr.FirewallRule, error) {
	options := &govultr.ListOptions{PerPage: f.page}
	var all []govultr.FirewallRule
	for {
		var page []govultr.FirewallRule
		meta, err := call(ctx, f, read, func(ctx context.Context) (meta *govultr.Meta, err error) {
			page, meta, _, err = f.client.FirewallRule.List(ctx, f.groupID, options)
			return meta, err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if meta.Links == nil || meta.Links.Next == "" {
			return all, nil
		}
		options.Cursor = meta.Links.Next
	}
}

// Limits returns how many rules the group may hold, as Vultr says of it. Openings
// are replaced in place, although it takes a call to close and one to open: where
// there is no room, Apply does the one and then the other, pair by pair.
func (f *Firewall) Limits(ctx context.Context) (portsnare.Limits, error) {
	g, err := f.group(ctx)
	if err != nil {
		return portsnare.Limits{}, err
	}
	return portsnare.Limits{Rules: g.MaxRuleCount, InPlace: true}, nil
}

func (f *Firewall) group(ctx context.Context) (*govultr.FirewallGroup, error) {
	return call(ctx, f, find, func(ctx context.Context) (*govultr.FirewallGroup, error) {
		g, _, err := f.client.FirewallGroup.Get(ctx, f.groupID)
		return g, err
	})
}

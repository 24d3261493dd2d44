package digitalocean

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
)

// DefaultEndpoint is where DigitalOcean's own API is.
const DefaultEndpoint = "https://api.digitalocean.com"

// MaxRules is how many rules a firewall may hold, inbound and outbound together
// (https://docs.digitalocean.com/products/networking/firewalls/details/limits/,
// checked 2026-11-21).
const MaxRules = 50

// maxSources is how many sources a rule may have (same page).
const maxSources = 1000

// NamePrefix and an owner mark are the name of a firewall of ours.
const NamePrefix = "portsnare-"

// Scopes is what a token must be allowed; ReplaceScopes is needed beside them
// for Options.Replace.
var (
	Scopes        = []string{"firewall:read", "firewall:update"}
	ReplaceScopes = []string{"droplet:read", "tag:read"}
)

const (
	callTimeout  = 20 * time.Second
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
	Replace    bool              // change the firewall by one PUT
	Token      string            // a secret
	Endpoint   string            // of the API, where it is not DefaultEndpoint
	Transport  http.RoundTripper // http.DefaultTransport if nil
	Pace       *rate.Limiter     // of requests; if nil, one that all firewalls of this process share
	Timeout    time.Duration     // of one call; 0 for 20 seconds
}

// Firewall is one Cloud Firewall. It may be used from several goroutines, but
// writes of one firewall must be made one after the other.
type Firewall struct {
	client  *godo.Client
	id      string
	mark    portsnare.Mark
	replace bool
	pace    *rate.Limiter
	timeout time.Duration // of one call
	wait    time.Duration // for what is pending
	every   time.Duration // look at what is pending
	seesAll atomic.Bool   // the token may see all that can be attached
}

// New returns a firewall. It sends nothing yet: what is wrong with the token or
// the firewall, the first call tells. Options that cannot be are
// [portsnare.Invalid].
func New(o Options) (*Firewall, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	endpoint, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.Pace == nil {
		o.Pace = ourPace
	}
	// Without retrying: the SDK would send a write again whose reply was lost.
	client := godo.NewClient(&http.Client{Transport: newTransport(o), CheckRedirect: noRedirect})
	client.BaseURL = endpoint
	return &Firewall{
		client: client, id: o.FirewallID, mark: o.Mark, replace: o.Replace, pace: o.Pace,
		timeout: cmp.Or(o.Timeout, callTimeout), wait: pendingWait, every: pendingEvery,
	}, nil
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (o Options) check() error {
	switch {
	case !uuid.MatchString(o.FirewallID):
		return invalid("open firewall", o.FirewallID, errors.New("want an id such as bb4b2611-3d72-467b-8602-280330ecd65c"), hintID)
	case o.Mark == "":
		return invalid("open firewall", o.FirewallID, errors.New("an owner mark is needed"), "")
	case !printable.MatchString(o.Token):
		return invalid("open firewall", o.FirewallID, errors.New("the token is empty or holds characters that no token has"), hintToken)
	}
	return nil
}

var printable = regexp.MustCompile(`^[!-~]+$`)

func parseEndpoint(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultEndpoint
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, invalid("read the address of the API", "", fmt.Errorf("%q: want such as %s", text, DefaultEndpoint), "correct DIGITALOCEAN_API_URL")
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = "/", "", "", ""
	return u, nil
}

// Rules returns every inbound rule, as the Droplets have it: what is still on
// its way to them is waited for. An absent firewall is [portsnare.NotFound], one
// that is not ours [portsnare.Invalid].
func (f *Firewall) Rules(ctx context.Context) ([]portsnare.Rule, error) {
	fw, err := f.settled(ctx)
	if err != nil {
		return nil, err
	}
	// Of rules that say the same twice, a plan closes those that come later.
	slices.SortStableFunc(fw.InboundRules, func(a, b godo.InboundRule) int { return cmp.Compare(addresses(b), addresses(a)) })
	var rules []portsnare.Rule
	for _, r := range fw.InboundRules {
		told, err := toRules(r, f.mark)
		if err != nil {
			return nil, invalid("read the rules of", f.id, err, hintRule)
		}
		rules = append(rules, told...)
	}
	return rules, nil
}

func addresses(r godo.InboundRule) int {
	if r.Sources == nil {
		return 0
	}
	return len(r.Sources.Addresses)
}

// Limits returns what is left of [MaxRules] beside the outbound rules.
func (f *Firewall) Limits(ctx context.Context) (portsnare.Limits, error) {
	fw, err := f.get(ctx)
	if err != nil {
		return portsnare.Limits{}, err
	}
	return portsnare.Limits{Rules: max(0, MaxRules-len(fw.OutboundRules)), Folds: true, InPlace: f.replace, Whole: f.replace}, nil
}

// get reads the firewall and demands that it is ours.
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
	if want := NamePrefix + string(f.mark); fw.Name != want {
		return nil, invalid("use", f.id, fmt.Errorf("the firewall is named %q, not %q", fw.Name, want), fmt.Sprintf(hintName, want))
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
			return nil, f.failure(opReplace, portsnare.Invalid, fmt.Errorf("DigitalOcean tells more than this version knows (%w), which would be lost", err), hintReplace)
		}
	}
	return answer.Firewall, nil
}

// settled reads the firewall until no change is on its way to a Droplet.
func (f *Firewall) settled(ctx context.Context) (*godo.Firewall, error) {
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	patience := time.NewTimer(f.wait)
	defer patience.Stop()
	for {
		fw, err := f.get(ctx)
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
	return fmt.Errorf("changes are still pending for %d Droplets, such as %d", len(fw.PendingChanges), fw.PendingChanges[0].DropletID)
}

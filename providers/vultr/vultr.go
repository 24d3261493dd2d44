package vultr

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/vultr/govultr/v3"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
)

// DefaultEndpoint is where Vultr's own API is.
const DefaultEndpoint = "https://api.vultr.com"

const (
	callTimeout = 20 * time.Second
	pageSize    = 500 // the most that a list returns at once
)

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
	APIKey    string            // a secret
	Endpoint  string            // of the API, where it is not DefaultEndpoint
	Transport http.RoundTripper // http.DefaultTransport if nil
	Pace      *rate.Limiter     // of requests; if nil, one that all firewalls of this process share
	Timeout   time.Duration     // of one call; 0 for 20 seconds
}

// Firewall is one firewall group. It may be used from several goroutines, but
// writes of one group are better made one after the other.
type Firewall struct {
	client  *govultr.Client
	groupID string
	mark    portsnare.Mark
	pace    *rate.Limiter
	timeout time.Duration // of one call
	page    int
}

// Open is [New] with the key and the endpoint of the environment where o has
// none: VULTR_API_KEY or VULTR_API_KEY_FILE, and VULTR_API_ENDPOINT. An
// environment that cannot be is [portsnare.Invalid], one without a key is
// [portsnare.Denied].
func Open(o Options) (*Firewall, error) {
	if o.Endpoint == "" {
		o.Endpoint = os.Getenv("VULTR_API_ENDPOINT")
	}
	if o.APIKey == "" {
		key, err := keyOfEnvironment()
		if err != nil {
			return nil, err
		}
		o.APIKey = key
	}
	return New(o)
}

func keyOfEnvironment() (string, error) {
	const op, hint = "find the API key", "set VULTR_API_KEY, or VULTR_API_KEY_FILE to the name of a file that holds it; keys are made at https://my.vultr.com/settings/#settingsapi"
	key, file := os.Getenv("VULTR_API_KEY"), os.Getenv("VULTR_API_KEY_FILE")
	switch {
	case key != "" && file != "":
		return "", invalid(op, "", errors.New("both VULTR_API_KEY and VULTR_API_KEY_FILE are set"), "unset one of the two")
	case file != "":
		text, err := os.ReadFile(file)
		if err != nil {
			return "", invalid(op, "", err, "set VULTR_API_KEY_FILE to the name of a file that holds the key")
		}
		key = strings.TrimSpace(string(text))
	}
	if key == "" {
		return "", &portsnare.Error{Kind: portsnare.Denied, Op: "vultr: " + op, Err: errors.New("none is given"), Hint: hint}
	}
	return key, nil
}

// New returns a firewall group. It sends nothing yet: what is wrong with the key
// or the group, the first call tells. Options that cannot be are
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
	client := govultr.NewClient(&http.Client{Transport: newTransport(o), CheckRedirect: noRedirect})
	client.BaseURL = endpoint
	client.SetRetryLimit(0)
	return &Firewall{client, o.GroupID, o.Mark, o.Pace, cmp.Or(o.Timeout, callTimeout), pageSize}, nil
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (o Options) check() error {
	_, nameErr := portsnare.ParseName(string(o.Mark)) // as toMark demands of it
	switch {
	case !uuid.MatchString(o.GroupID):
		return invalid("open firewall group", o.GroupID, errors.New("want an id such as cb676a46-66fd-4dfb-b839-443f2e6c0b60"), hintGroup)
	case nameErr != nil:
		return invalid("use the owner mark of", o.GroupID, nameErr, "")
	case strings.Trim(o.APIKey, letters) != "" || o.APIKey == "":
		return invalid("use the API key", "", errors.New("want letters and digits, and nothing else"),
			"look at VULTR_API_KEY, or at the file that VULTR_API_KEY_FILE names")
	}
	return nil
}

// letters are those of an API key.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// parseEndpoint takes an address with or without the /v2 that each path of the
// API begins with.
func parseEndpoint(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultEndpoint
	}
	u, err := url.Parse(text)
	if err == nil {
		path := strings.TrimSuffix(u.Path, "/")
		if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || path != "" && path != "/v2" || u.User != nil || u.RawQuery != "" {
			err = errors.New("want an address such as " + DefaultEndpoint)
		}
	}
	if err != nil {
		return nil, invalid("use the endpoint", text, err, "correct VULTR_API_ENDPOINT, or unset it")
	}
	return u, nil
}

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

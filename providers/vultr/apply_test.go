package vultr_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/vultrfake"
	"github.com/portsnare/portsnare/providers/vultr"
)

// What goes over the wire, call by call. A write is in capitals.
func TestApplyCalls(t *testing.T) {
	o := unlimited()
	o.MaxRules = 6 // two are taken
	l := newLab(t, o)
	for _, tt := range []struct {
		name string
		want []portsnare.Opening
		plan string // calls of Apply
	}{
		{"first", dual(t, "8000-8009/tcp"), "OPEN OPEN"},
		{"room for both", dual(t, "9000/tcp"), "group OPEN OPEN look CLOSE look CLOSE"},
		{"only more", dual(t, "9000/tcp", "9002/udp"), "OPEN OPEN"},
		{"full: pair by pair", dual(t, "1/tcp", "3/tcp"),
			"group look CLOSE OPEN look CLOSE OPEN look CLOSE OPEN look CLOSE OPEN"},
		{"full, one family stays", append(v4(t, "1/tcp", "3/tcp"), v4(t, "5/tcp", "7/tcp")...),
			"group look CLOSE OPEN look CLOSE OPEN"},
		{"only fewer", v4(t, "5/tcp"), "look CLOSE look CLOSE look CLOSE"},
		{"room for some", dual(t, "11/tcp", "13/tcp"), "group OPEN OPEN OPEN look CLOSE OPEN"},
		{"none", nil, "look CLOSE look CLOSE look CLOSE look CLOSE"},
	} {
		plan, before := l.plan(tt.want), len(l.vultr.Calls())
		done, err := l.Apply(context.Background(), plan)
		noError(t, err)
		if got := l.calls(before); got != tt.plan {
			t.Errorf("%s: calls %s\nwant %s", tt.name, got, tt.plan)
		}
		wantDone(t, done, portsnare.Done{Opened: plan.Open, Closed: plan.Close, Writes: len(plan.Open) + len(plan.Close)})
		l.wantOurs(tt.want)
	}
}

// A trap set of 10, of both families, all new, takes 20 writes to open and 20 to
// close, at the pace that all firewalls of a process share and with a Vultr that
// answers 30 requests a second.
func TestApplyKeepsThePace(t *testing.T) {
	l := newLab(t, vultrfake.Options{MaxRules: 60})
	for i := range 10 {
		for _, source := range portsnare.AnySource() {
			_, err := l.vultr.AddRule(l.group, vultrfake.Rule{Protocol: "tcp", Port: strconv.Itoa(1000 + 2*i), Subnet: source, Notes: notes})
			noError(t, err)
		}
	}
	var ranges []string
	for i := range 10 {
		ranges = append(ranges, strconv.Itoa(2000+2*i)+"/tcp")
	}
	f, err := vultr.New(vultr.Options{GroupID: l.group, Mark: mark, APIKey: vultrfake.DefaultAPIKey, Endpoint: l.url})
	noError(t, err)
	done, err := f.Apply(context.Background(), l.plan(dual(t, ranges...)))
	noError(t, err)
	if done.Writes != 40 || l.writes(0) != 40 {
		t.Errorf("%d writes, Done counts %d; want 40", l.writes(0), done.Writes)
	}
	l.wantOurs(dual(t, ranges...))
}

// Somebody takes the room that there was when the group was asked.
func TestApplyWhenTheRoomIsTaken(t *testing.T) {
	o := unlimited()
	o.MaxRules = 6
	l := newLab(t, o)
	l.reach(v4(t, "5/tcp", "7/tcp"))
	l.vultr.Intercept(func(_ context.Context, stage vultrfake.Stage, call vultrfake.Call) http.Handler {
		for stage == vultrfake.After && call.Action == vultrfake.GetGroup && len(l.vultr.Rules(l.group)) < o.MaxRules {
			l.human(vultrfake.Rule{Protocol: "tcp", Port: strconv.Itoa(8080 + len(l.foreign)), Subnet: anyV4})
		}
		return nil
	})
	plan, before := l.plan(v4(t, "11/tcp", "13/tcp")), len(l.vultr.Calls())
	done, err := l.Apply(context.Background(), plan)
	noError(t, err)
	// The second group is asked why the first OPEN was refused.
	if got, want := l.calls(before), "group OPEN group look CLOSE OPEN look CLOSE OPEN"; got != want {
		t.Errorf("calls %s\nwant %s", got, want)
	}
	wantDone(t, done, portsnare.Done{Opened: plan.Open, Closed: plan.Close, Writes: 4})
}

// Between plan and removal a rule of ours went away and its number to another.
// What stands there is looked at right before, and stays.
func TestCloseLooksFirst(t *testing.T) {
	const gone = "vultr: look at a rule of %s: Firewall rule ID not found (HTTP status 404)"
	const changed = "vultr: close ports in %s: rule 3 is no longer what it was when the plan was made"
	for _, tt := range []struct {
		name string
		now  *vultrfake.Rule // in its place
		text string
	}{
		{"gone", nil, gone},
		{"a protected port", &vultrfake.Rule{Protocol: "tcp", Port: "443", Subnet: anyV4, Notes: "web, ask ops"}, changed},
		{"a trap of ours", &vultrfake.Rule{Protocol: "tcp", Port: "6", Subnet: anyV4, Notes: notes}, changed},
		{"a range", &vultrfake.Rule{Protocol: "tcp", Port: "5:9", Subnet: anyV4, Notes: notes}, changed},
		{"another family", &vultrfake.Rule{Protocol: "tcp", Port: "5", Subnet: anyV6, Notes: notes}, changed},
		{"the same, of others", &vultrfake.Rule{Protocol: "tcp", Port: "5", Subnet: anyV4, Notes: "ask ops"}, changed},
		{"the same, of another group's", &vultrfake.Rule{Protocol: "tcp", Port: "5", Subnet: anyV4, Notes: "portsnare:tokyo/db"}, changed},
		{"the same, of another owner's", &vultrfake.Rule{Protocol: "tcp", Port: "5", Subnet: anyV4, Notes: "portsnare:osaka/web"}, changed},
		{"the same for Cloudflare", &vultrfake.Rule{Protocol: "tcp", Port: "5", Subnet: anyV4, Source: "cloudflare", Notes: notes}, changed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := unlimited()
			o.ReuseNumbers = true
			l := newLab(t, o)
			l.reach(v4(t, "5/tcp"))
			plan := l.plan(nil)
			noError(t, l.vultr.RemoveRule(l.group, 3))
			if tt.now != nil && l.human(*tt.now).Number != 3 {
				t.Fatal("the number was not used again")
			}
			before := len(l.vultr.Calls())
			done, err := l.Apply(context.Background(), plan)
			wantError(t, err, portsnare.Conflict, fmt.Sprintf(tt.text, l.group), "")
			wantDone(t, done, portsnare.Done{})
			if got := l.calls(before); got != "look" {
				t.Errorf("calls %s, want one look", got)
			}
			l.wantForeign(l.vultr.Rules(l.group))
		})
	}
}

// Rules that bear our notes and are for Cloudflare or a load balancer, and those
// whose notes only look like ours, are nobody's but others'.
func TestApplyLeavesAlone(t *testing.T) {
	l := newLab(t, unlimited())
	for i, r := range []vultrfake.Rule{
		{Source: "cloudflare", Notes: notes},
		{Source: "cb676a46-66fd-4dfb-b839-443f2e6c0b60", Notes: notes},
		{Notes: "portsnare:"}, {Notes: "portsnare: tokyo/web"}, {Notes: "Portsnare:tokyo/web"}, {Notes: " portsnare:tokyo/web"},
		{Notes: "portsnare:tokyo/web, ask ops"}, {Notes: "portsnare:tokyo/web-1"}, {Notes: ""},
	} {
		r.Protocol, r.Port, r.Subnet = "tcp", strconv.Itoa(9000+i), anyV4
		l.human(r)
	}
	for _, protocol := range []string{"icmp", "gre", "esp", "ah"} {
		l.human(vultrfake.Rule{Protocol: protocol, Subnet: anyV6})
	}
	l.reach(dual(t, "5/tcp"))
	l.reach(nil)
	rules, err := l.Rules(context.Background())
	noError(t, err)
	if len(rules) != len(l.foreign) {
		t.Errorf("%d rules, want the %d of others", len(rules), len(l.foreign))
	}
	if got, want := portsnare.OpenPorts(rules).String(), "22/tcp,9000-9008/tcp"; got != want {
		t.Errorf("open ports %s, want %s", got, want)
	}
}

// A rule that bears our mark goes whatever it admits.
func TestApplyRemovesWhatBearsOurMark(t *testing.T) {
	l := newLab(t, unlimited())
	for _, r := range []vultrfake.Rule{
		{Protocol: "icmp", Subnet: anyV4, Notes: notes},
		{Protocol: "udp", Port: "1:65535", Subnet: netip.MustParsePrefix("2001:db8::7/32"), Notes: notes},
	} {
		_, err := l.vultr.AddRule(l.group, r)
		noError(t, err)
	}
	l.reach(nil)
	if got, want := len(l.vultr.Rules(l.group)), len(l.foreign); got != want {
		t.Errorf("%d rules, want %d", got, want)
	}
}

// A rule that is not what was asked for would be made again for ever.
func TestApplyNoticesAnotherRule(t *testing.T) {
	l := newLab(t, unlimited())
	l.vultr.Intercept(vultrfake.First(1, vultrfake.After, vultrfake.CreateRule, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"firewall_rule":{"id":3,"ip_type":"v6","action":"accept","protocol":"tcp","port":"5","subnet":"0.0.0.0","subnet_size":0,"notes":"portsnare:w"}}`)
	})))
	done, err := l.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp", "6/tcp")})
	wantError(t, err, portsnare.Invalid,
		"vultr: open ports in "+l.group+": rule 3 was made with other ports, sources or notes than were asked for",
		"look at the rule, and remove it by hand")
	wantDone(t, done, portsnare.Done{Writes: 1})
}

func TestApplyRefuses(t *testing.T) {
	l := newLab(t, unlimited())
	l.reach(v4(t, "5/tcp"))
	ours := l.plan(nil).Close
	unnumbered, stranger := ours[0], ours[0]
	unnumbered.ID, stranger.Mark = "sgr-1", ""
	for _, tt := range []struct {
		plan portsnare.Plan
		text string
	}{
		{portsnare.Plan{Close: []portsnare.Rule{ours[0], stranger}}, `carry out a plan for %s: a rule to be closed bears the mark "", ours is "tokyo/web"`},
		{portsnare.Plan{Close: []portsnare.Rule{unnumbered}}, `carry out a plan for %s: rule "sgr-1" has no number`},
		{portsnare.Plan{Close: ours, Held: ours}, "carry out a plan for %s: a rule to be closed is to be held too"},
		{portsnare.Plan{Open: []portsnare.Opening{{Range: ours[0].Opening.Range}}}, "carry out a plan for %s: what is to be opened is no port range with a source"},
	} {
		_, err := l.Apply(context.Background(), tt.plan)
		wantError(t, err, portsnare.Invalid, "vultr: "+fmt.Sprintf(tt.text, l.group), "")
	}
}

func TestApplyToAFullGroup(t *testing.T) {
	o := unlimited()
	o.MaxRules = 4
	l := newLab(t, o)
	limits, err := l.Limits(context.Background())
	noError(t, err)
	if want := (portsnare.Limits{Rules: 4, InPlace: true}); limits != want {
		t.Errorf("limits %+v, want %+v", limits, want)
	}
	plan := l.plan(dual(t, "5/tcp", "7/tcp"))
	done, err := l.Apply(context.Background(), plan)
	wantError(t, err, portsnare.LimitExceeded,
		"vultr: open ports in "+l.group+": The group holds as many rules as it may (HTTP status 400)",
		"the group holds 4 rules of 4: remove some, ask Vultr to raise the limit, or open fewer traps")
	wantDone(t, done, portsnare.Done{Opened: plan.Open[:2], Writes: 2})
}

package dofake_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

const (
	trap    = `{"protocol":"tcp","ports":"8000-8009","sources":{"addresses":["0.0.0.0/0","::/0"]}}`
	trapped = `{"action":"allow","ports":"8000-8009","protocol":"tcp","sources":{"addresses":["0.0.0.0/0","::/0"]}}`
)

func inbound(rules ...string) string {
	return `{"inbound_rules":[` + strings.Join(rules, ",") + `],"outbound_rules":[]}`
}

func TestRulesComeAndGo(t *testing.T) {
	l := newLab(t, dofake.Options{})
	before := l.shown()
	want := `{"droplet_ids":[103],"inbound_rules":[{"action":"allow","ports":"22","protocol":"tcp","sources":{"addresses":["0.0.0.0/0","::/0"]}}],` +
		`"name":"web","outbound_rules":[],"pending_changes":[],"status":"succeeded","tags":["web"]}`
	if before != want {
		t.Errorf("shown\n%s\nwant\n%s", before, want)
	}
	l.want(204, "", "POST", "firewalls/ID/rules", inbound(trap))
	if got, want := l.shown(), strings.Replace(before, `}],"name"`, `},`+trapped+`],"name"`, 1); got != want {
		t.Errorf("after POST\n%s\nwant\n%s", got, want)
	}
	l.want(204, "", "DELETE", "firewalls/ID/rules", inbound(trap))
	if got := l.shown(); got != before {
		t.Errorf("after DELETE\n%s\nwant\n%s", got, before)
	}
	l.want(204, "", "POST", "firewalls/ID/rules", `{"inbound_rules":null,"outbound_rules":[{"protocol":"icmp","ports":"","destinations":{"tags":["web"]}}]}`)
	if got, want := l.shown(), `"outbound_rules":[{"action":"allow","destinations":{"tags":["web"]},"ports":"0","protocol":"icmp"}]`; !strings.Contains(got, want) {
		t.Errorf("shown %s, want %s in it", got, want)
	}
}

// Each request that is refused changes nothing at all.
func TestRefused(t *testing.T) {
	l := newLab(t, dofake.Options{})
	before := l.shown()
	rule := func(protocol, ports, rest string) string {
		return inbound(fmt.Sprintf(`{"protocol":%q,"ports":%q,%s}`, protocol, ports, rest))
	}
	everyone := `"sources":{"addresses":["0.0.0.0/0"]}`
	sources := strings.Repeat(`"192.0.2.1",`, 1001)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		message                  string
	}{
		{"a rule like one that stands", "POST", "rules", rule("tcp", "22", `"sources":{"addresses":["0.0.0.0/0","::/0"]}`), 422, "duplicate"},
		{"a rule that overlaps one", "POST", "rules", rule("tcp", "22", `"sources":{"addresses":["::/0","192.0.2.1"]}`), 422, "duplicate"},
		{"a rule twice", "POST", "rules", inbound(trap, trap), 422, "duplicate"},
		{"a good rule and one twice", "POST", "rules", inbound(trap, `{"protocol":"tcp","ports":"22",`+everyone+`}`), 422, "duplicate"},
		{"removing what is not there", "DELETE", "rules", inbound(trap), 422, "not found"},
		{"removing half of a rule", "DELETE", "rules", rule("tcp", "22", everyone), 422, "not found"},
		{"removing the last rule", "DELETE", "rules", rule("tcp", "22", `"sources":{"addresses":["0.0.0.0/0","::/0"]}`), 422, "at least one rule"},
		{"all", "POST", "rules", rule("tcp", "all", everyone), 422, "invalid ports"},
		{"no ports", "POST", "rules", rule("udp", "", everyone), 422, "invalid ports"},
		{"port 65536", "POST", "rules", rule("udp", "65536", everyone), 422, "invalid ports"},
		{"ports backwards", "POST", "rules", rule("udp", "9-8", everyone), 422, "invalid ports"},
		{"no address", "POST", "rules", rule("udp", "9", `"sources":{"addresses":["everyone"]}`), 422, "invalid address"},
		{"no sources", "POST", "rules", rule("udp", "9", `"sources":{}`), 422, "between 1 and 1000"},
		{"too many sources", "POST", "rules", rule("udp", "9", `"sources":{"addresses":[`+strings.TrimSuffix(sources, ",")+`]}`), 422, "between 1 and 1000"},
		{"nothing", "POST", "rules", inbound(), 400, "want inbound_rules"},
		{"an absent tag", "POST", "tags", `{"tags":["green"]}`, 422, "does not exist"},
		{"eleven droplets", "POST", "droplets", `{"droplet_ids":[1,2,3,4,5,6,7,8,9,10,11]}`, 422, "at most 10 droplets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.want(tt.status, tt.message, tt.method, "firewalls/ID/"+tt.path, tt.body)
		})
	}
	for _, tt := range []struct {
		name, body string
		status     int
		message    string
		headers    []string
	}{
		{"another protocol", rule("TCP", "9", everyone), 422, "protocol must be", nil},
		{"another action", rule("tcp", "9", `"action":"drop",`+everyone), 422, "action must be", nil},
		{"no sources at all", inbound(`{"protocol":"tcp","ports":"9"}`), 422, "must have sources", nil},
		{"an unknown field", rule("tcp", "9", `"notes":"ours",`+everyone), 400, "unknown field", nil},
		{"half a body", `{"inbound_rules":[`, 400, "error parsing", nil},
		{"another content", inbound(trap), 400, "application/json", []string{"Content-Type", "text/plain"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.want(tt.status, tt.message, "POST", "firewalls/ID/rules", tt.body, append(tt.headers, "X-Unjudged", "1")...)
		})
	}
	if got := l.shown(); got != before {
		t.Errorf("after\n%s\nwant\n%s", got, before)
	}
}

func TestFiftyRules(t *testing.T) {
	l := newLab(t, dofake.Options{})
	var rules []string
	for port := range 49 {
		rules = append(rules, fmt.Sprintf(`{"protocol":"tcp","ports":"%d","sources":{"addresses":["0.0.0.0/0"]}}`, 1000+port))
	}
	l.want(204, "", "POST", "firewalls/ID/rules", inbound(rules[:48]...))
	l.want(204, "", "POST", "firewalls/ID/rules", `{"outbound_rules":[{"protocol":"tcp","ports":"0","destinations":{"addresses":["0.0.0.0/0"]}}]}`)
	l.want(422, "at most 50 rules", "POST", "firewalls/ID/rules", inbound(rules[48]))
	l.want(204, "", "DELETE", "firewalls/ID/rules", inbound(rules[0]))
	l.want(204, "", "POST", "firewalls/ID/rules", inbound(rules[48]))
}

// PUT resets what it does not name.
func TestPutResets(t *testing.T) {
	l := newLab(t, dofake.Options{})
	l.want(200, "", "PUT", "firewalls/ID", `{"name":"web-2","inbound_rules":[`+trap+`]}`)
	want := `{"droplet_ids":[],"inbound_rules":[` + trapped + `],"name":"web-2","outbound_rules":[],"pending_changes":[],"status":"succeeded","tags":[]}`
	if got := l.shown(); got != want {
		t.Errorf("shown\n%s\nwant\n%s", got, want)
	}
}

func TestFirewallsComeAndGo(t *testing.T) {
	l := newLab(t, dofake.Options{})
	body := `{"name":"db","inbound_rules":[` + trap + `],"droplet_ids":[101],"tags":["db"]}`
	l.want(202, "", "POST", "firewalls", body)
	l.want(409, "duplicate name", "POST", "firewalls", body)
	l.want(422, "at least one rule", "POST", "firewalls", `{"name":"none","inbound_rules":[]}`)
	for droplet, want := range map[int][]string{101: {"web", "db"}, 102: {"web"}, 103: {"web", "db"}, 104: nil} {
		got := l.want(200, "", "GET", fmt.Sprintf("droplets/%d/firewalls", droplet), "").body
		var names []string
		for _, name := range []string{"web", "db"} {
			if strings.Contains(got, `"name":"`+name+`"`) {
				names = append(names, name)
			}
		}
		if d := cmp.Diff(want, names, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("firewalls of %d (-want +got):\n%s", droplet, d)
		}
	}
	l.want(204, "", "DELETE", "firewalls/ID", "")
	l.want(404, "could not be found", "GET", "firewalls/ID", "")
	l.want(404, "could not be found", "DELETE", "firewalls/ID", "")
	l.want(404, "could not be found", "POST", "firewalls/ID/rules", inbound(trap))
	l.want(404, "could not be found", "PUT", "firewalls/ID", body)
}

func TestAttach(t *testing.T) {
	l := newLab(t, dofake.Options{})
	l.want(204, "", "POST", "firewalls/ID/droplets", `{"droplet_ids":[102,103]}`)
	l.want(204, "", "POST", "firewalls/ID/tags", `{"tags":["db"]}`)
	l.want(204, "", "DELETE", "firewalls/ID/droplets", `{"droplet_ids":[103]}`)
	l.want(204, "", "DELETE", "firewalls/ID/tags", `{"tags":["web"]}`)
	fw := l.Firewall(l.id)
	if d := cmp.Diff([]any{[]int{102}, []string{"db"}}, []any{fw.DropletIDs, fw.Tags}); d != "" {
		t.Errorf("attached (-want +got):\n%s", d)
	}
}

func TestPages(t *testing.T) {
	l := newLab(t, dofake.Options{})
	for i := range 4 {
		_, err := l.AddFirewall(dofake.Firewall{Name: fmt.Sprint("more-", i), Inbound: []dofake.Rule{ssh}})
		noError(t, err)
	}
	for _, tt := range []struct {
		query string
		names string
		links []string
	}{
		{"", "web more-0 more-1 more-2 more-3", nil},
		{"?per_page=2", "web more-0", []string{"next", "last"}},
		{"?per_page=2&page=2", "more-1 more-2", []string{"first", "last", "next", "prev"}},
		{"?per_page=2&page=3", "more-3", []string{"first", "prev"}},
		{"?per_page=2&page=9", "", []string{"first", "prev"}},
	} {
		body := l.want(200, "", "GET", "firewalls"+tt.query, "").body
		var names, links []string
		for _, name := range strings.Fields("web more-0 more-1 more-2 more-3") {
			if strings.Contains(body, `"name":"`+name+`"`) {
				names = append(names, name)
			}
		}
		for _, link := range []string{"first", "last", "next", "prev"} {
			if strings.Contains(body, `"`+link+`":"https://api.digitalocean.com/v2/firewalls?`) {
				links = append(links, link)
			}
		}
		sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
		if d := cmp.Diff(tt.links, links, cmpopts.EquateEmpty(), sorted); d != "" || strings.Join(names, " ") != tt.names {
			t.Errorf("%q: %v, links (-want +got):\n%s", tt.query, names, d)
		}
		if !strings.Contains(body, `"total":5`) {
			t.Errorf("%q: no total in %s", tt.query, body)
		}
	}
	l.want(400, "per_page", "GET", "firewalls?per_page=201", "", "X-Unjudged", "1")
}

func TestConsole(t *testing.T) {
	l := newLab(t, dofake.Options{})
	v4 := dofake.Rule{Protocol: "tcp", Ports: "22", Sources: &dofake.Target{Addresses: []string{"0.0.0.0/0"}}}
	noError(t, l.AddRule(l.id, v4)) // overlaps ssh
	if err := l.AddRule(l.id, v4); err == nil {
		t.Error("an equal rule was added")
	}
	v4.Action = "allow"
	v6 := v4
	v6.Sources = &dofake.Target{Addresses: []string{"::/0"}}
	noError(t, l.EditRule(l.id, v4, v6))
	if l.EditRule(l.id, v4, v6) == nil || l.EditRule(l.id, ssh, v6) == nil || l.RemoveRule(l.id, v4) == nil || l.AddRule("none", v4) == nil {
		t.Error("what cannot be was done")
	}
	if d := cmp.Diff([]dofake.Rule{ssh, v6}, l.Firewall(l.id).Inbound); d != "" {
		t.Errorf("inbound (-want +got):\n%s", d)
	}
	noError(t, l.RemoveRule(l.id, ssh))
	if len(l.Calls()) != 0 {
		t.Error("the console's doings are calls")
	}
	l.RemoveFirewall(l.id)
	if got := l.Firewall(l.id).Name; got != "" {
		t.Errorf("%q is still there", got)
	}
}

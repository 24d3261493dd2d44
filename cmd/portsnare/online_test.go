package main

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator"
)

// surroundings is a firewall that knows what is around it, and nothing else.
type surroundings struct {
	rotator.Firewall
	attached bool
	beside   []portsnare.Rule
	err      error
}

func (s surroundings) Around(context.Context) (bool, []portsnare.Rule, error) {
	return s.attached, s.beside, s.err
}

func rule(t *testing.T, ports string, mark portsnare.Mark) portsnare.Rule {
	t.Helper()
	r, err := portsnare.ParsePortRange(ports)
	if err != nil {
		t.Fatal(err)
	}
	return portsnare.Rule{ID: ports, Opening: portsnare.Opening{Range: r, Source: portsnare.AnySource()[0]}, Mark: mark}
}

// TestAround: what is protected must be admitted by rules without any mark.
func TestAround(t *testing.T) {
	ssh, all, trap := rule(t, "22/tcp", ""), rule(t, "1-65535/tcp", ""), rule(t, "20-30/tcp", "db")
	deny := all
	deny.Deny = true
	denied := &portsnare.Error{Kind: portsnare.Denied, Hint: "allow it"}
	for _, tt := range []struct {
		name          string
		around        surroundings
		foreign       []portsnare.Rule
		attached      string
		protected     string
		protectedText string
	}{
		{"here", surroundings{attached: true}, []portsnare.Rule{ssh}, "ok", "ok", "22/tcp admitted by rules of others"},
		{"beside", surroundings{attached: true, beside: []portsnare.Rule{all}}, nil, "ok", "ok", "22/tcp admitted by rules of others"},
		{"nowhere", surroundings{attached: true}, nil, "ok", "problem", "no rule of others admits 22/tcp"},
		{"by a rule that refuses", surroundings{attached: true}, []portsnare.Rule{deny}, "ok", "problem", "no rule of others admits 22/tcp"},
		{"by a trap of another group", surroundings{attached: true, beside: []portsnare.Rule{trap}}, []portsnare.Rule{trap}, "ok", "problem", "no rule of others admits 22/tcp"},
		{"attached to nothing", surroundings{}, nil, "problem", "unknown", "no rule of others in this firewall admits 22/tcp, and other firewalls cannot be read"},
		{"attached to nothing, yet here", surroundings{}, []portsnare.Rule{ssh}, "problem", "ok", "22/tcp admitted by rules of others"},
		{"unseen", surroundings{err: denied}, nil, "unknown", "unknown", "no rule of others in this firewall admits 22/tcp, and other firewalls cannot be read"},
		{"unreachable", surroundings{err: errors.New("no route")}, []portsnare.Rule{ssh}, "problem", "ok", "22/tcp admitted by rules of others"},
	} {
		e := &examination{firewall: tt.around, foreign: tt.foreign}
		e.group.Protected = portsnare.NewPortSet(ssh.Opening.Range)
		e.around(t.Context())
		got := []string{e.Findings[0].Result, e.Findings[1].Result, e.Findings[1].Text}
		if d := cmp.Diff([]string{tt.attached, tt.protected, tt.protectedText}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// TestMute: a provider that can tell nothing more is asked for nothing more.
func TestMute(t *testing.T) {
	e := &examination{firewall: struct{ rotator.Firewall }{}}
	if !e.credential(t.Context()) {
		t.Error("stopped for want of a credential that nobody asks about")
	}
	e.permissions(t.Context())
	e.around(t.Context())
	if len(e.Findings) > 0 {
		t.Errorf("findings %+v: want none", e.Findings)
	}
}

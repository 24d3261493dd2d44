package vultr_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/vultrfake"
	"github.com/portsnare/portsnare/providers/vultr"
)

func TestPermissions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		allow func(key, action string) bool
		want  string
	}{
		{"all", nil, ""},
		{"no more than reading", func(_, action string) bool { return !strings.HasPrefix(action, "post-") }, "the user of the API key may not manage firewalls"},
		{"nothing", func(string, string) bool { return false }, "the user of the API key may not manage firewalls"},
	} {
		o := unlimited()
		o.Allow = tt.allow
		l := newLab(t, o)
		if err := l.Authenticate(t.Context()); err != nil {
			t.Errorf("%s: authenticate: %v", tt.name, err)
		}
		err := l.Permissions(t.Context())
		got := ""
		if err != nil {
			got = strings.TrimPrefix(err.Error(), "vultr: use "+l.group+": ")
		}
		if got != tt.want || (err != nil) != errors.Is(err, portsnare.Denied) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		for _, c := range l.vultr.Calls() {
			if c.Committed {
				t.Errorf("%s: %s changed something", tt.name, c.Action)
			}
		}
	}
}

func TestAuthenticate(t *testing.T) {
	l := newLab(t, unlimited())
	stranger := l.firewall(vultr.Options{APIKey: "ANOTHERKEY"})
	for name, err := range map[string]error{
		"authenticate": stranger.Authenticate(t.Context()), "permissions": stranger.Permissions(t.Context()),
	} {
		if !errors.Is(err, portsnare.Denied) {
			t.Errorf("%s: error %v, want one that the key is not known", name, err)
		}
	}
	l.vultr.DeleteGroup(l.group)
	if err := l.Authenticate(t.Context()); err != nil {
		t.Errorf("without its group: %v, want the key known all the same", err)
	}
}

func TestAround(t *testing.T) {
	l := newLab(t, vultrfake.Options{})
	if attached, beside, err := l.Around(t.Context()); !attached || len(beside) > 0 || err != nil {
		t.Errorf("got %t, %v, %v, want a group with an instance and nothing beside", attached, beside, err)
	}
	l.vultr.Detach(l.group)
	if attached, _, err := l.Around(t.Context()); attached || err != nil {
		t.Errorf("got %t, %v, want a group without an instance", attached, err)
	}
}

package clouds_test

import (
	"slices"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/clouds"
)

// examples are ids of the form that each kind wants.
var examples = map[string]string{
	"aws":          "sg-0f3a9c1d2e4b5a687",
	"digitalocean": "bb4b2611-3d72-467b-8602-280330ecd65c",
	"vultr":        "cb676a46-66fd-4dfb-b839-443f2e6c0b60",
	"openstack":    "b985643f-3424-4e67-9768-8f8e3e9f0112",
	"none":         "",
}

func environment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_CONFIG_FILE": "/absent", "AWS_SHARED_CREDENTIALS_FILE": "/absent",
		"DIGITALOCEAN_TOKEN": "t", "VULTR_API_KEY": "k", "OS_CLOUD": "", "OS_AUTH_URL": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
}

// Every cloud of the table opens a firewall by what the table says of it, and holds
// to the life of a call that it was given.
func TestEveryCloud(t *testing.T) {
	environment(t)
	var kinds []string
	ranks := map[int]string{}
	for _, c := range clouds.All() {
		kinds = append(kinds, c.Kind)
		if other, taken := ranks[c.Rank]; taken {
			t.Errorf("%s and %s have the rank %d", other, c.Kind, c.Rank)
		}
		ranks[c.Rank] = c.Kind
		id := examples[c.Kind]
		if c.Firewall != nil && !c.Firewall.Pattern.MatchString(id) || c.Firewall == nil && id != "" {
			t.Errorf("%s: the id %q does not fit", c.Kind, id)
		}
		target := clouds.Target{Firewall: id, Mark: "tokyo/web", Former: []portsnare.Mark{"web"}}
		for given, want := range map[time.Duration]time.Duration{0: c.CallTimeout, 7 * time.Second: min(c.CallTimeout, 7*time.Second)} {
			target.Timeout = given
			f, err := clouds.Open(t.Context(), c.Kind, target)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.CallTimeout(); got != want {
				t.Errorf("%s with the timeout %s: a call lives for %s, want %s", c.Kind, given, got, want)
			}
		}
		target.Firewall = "no id"
		if f, err := clouds.Open(t.Context(), c.Kind, target); c.Firewall != nil && (portsnare.KindOf(err) != portsnare.Invalid || f != nil) {
			t.Errorf("%s opens %q: %v, %v", c.Kind, target.Firewall, f, err)
		}
	}
	if want := []string{"aws", "digitalocean", "vultr", "openstack", "none"}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
	if _, err := clouds.Open(t.Context(), "mars", clouds.Target{}); portsnare.KindOf(err) != portsnare.Invalid {
		t.Errorf("an unknown kind: %v", err)
	}
}

// Clouds that take a key of one name take the same sort of it, at the same place.
func TestKeysAgree(t *testing.T) {
	for _, k := range clouds.Keys() {
		for _, c := range clouds.All() {
			if own, takes := c.Takes(k.Name); takes && (own.Sort != k.Sort || own.Rank != k.Rank) {
				t.Errorf("%s takes %s otherwise: %+v, %+v", c.Kind, k.Name, own, k)
			}
		}
	}
	var names []string
	for _, k := range clouds.Keys() {
		names = append(names, k.Name)
	}
	if want := []string{"region", "cloud", "rules", "replace"}; !slices.Equal(names, want) {
		t.Errorf("keys %v, want %v", names, want)
	}
}

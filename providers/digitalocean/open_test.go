package digitalocean_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/digitalocean"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

const (
	hintToken = "set DIGITALOCEAN_TOKEN, or DIGITALOCEAN_TOKEN_FILE to the name of a file that holds the token; tokens are made at https://cloud.digitalocean.com/account/api/tokens"
	someID    = "bb4b2611-3d72-467b-8602-280330ecd65c"
)

// environment sets what is given and empties the rest.
func environment(t *testing.T, variables map[string]string) {
	t.Helper()
	for _, name := range []string{"DIGITALOCEAN_TOKEN", "DIGITALOCEAN_TOKEN_FILE", "DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN_FILE", "DIGITALOCEAN_API_URL"} {
		t.Setenv(name, variables[name])
	}
}

func TestOpen(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	file := filepath.Join(t.TempDir(), "token")
	noError(t, os.WriteFile(file, []byte(dofake.DefaultToken+"\n"), 0o600))
	for _, tt := range []struct {
		name      string
		variables map[string]string
	}{
		{"token", map[string]string{"DIGITALOCEAN_TOKEN": dofake.DefaultToken}},
		{"token in a file", map[string]string{"DIGITALOCEAN_TOKEN_FILE": file}},
		{"doctl's token", map[string]string{"DIGITALOCEAN_ACCESS_TOKEN": dofake.DefaultToken}},
		{"doctl's token in a file", map[string]string{"DIGITALOCEAN_ACCESS_TOKEN_FILE": file}},
		{"the first counts", map[string]string{"DIGITALOCEAN_TOKEN": dofake.DefaultToken, "DIGITALOCEAN_ACCESS_TOKEN": "another"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.variables["DIGITALOCEAN_API_URL"] = l.url + "/v2/"
			environment(t, tt.variables)
			f, err := digitalocean.Open(digitalocean.Options{FirewallID: l.id, Mark: mark})
			noError(t, err)
			limits, err := f.Limits(t.Context())
			noError(t, err)
			if want := (portsnare.Limits{Rules: 47, Folds: true}); limits != want {
				t.Errorf("limits %+v, want %+v", limits, want)
			}
		})
	}
}

// TestReplaceTakesOneWrite: where a PUT replaces all rules, a rotation must not
// open first and close afterwards.
func TestReplaceTakesOneWrite(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	environment(t, map[string]string{"DIGITALOCEAN_TOKEN": dofake.DefaultToken, "DIGITALOCEAN_API_URL": l.url + "/v2/"})
	f, err := digitalocean.Open(digitalocean.Options{FirewallID: l.id, Mark: mark, Replace: true})
	noError(t, err)
	limits, err := f.Limits(t.Context())
	noError(t, err)
	if way := portsnare.ChooseWay(portsnare.TrapSet{}, portsnare.TrapSet{}, limits.Rules, limits); way != portsnare.InPlace {
		t.Errorf("way %s with limits %+v, want in place", way, limits)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	noError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	good := digitalocean.Options{FirewallID: someID, Mark: mark}
	token := map[string]string{"DIGITALOCEAN_TOKEN": "dop_v1_0"}
	for _, tt := range []struct {
		name       string
		variables  map[string]string
		options    digitalocean.Options
		kind       portsnare.Kind
		text, hint string
	}{
		{"no token", nil, good, portsnare.Denied, "digitalocean: find the token: none is given", hintToken},
		{"both", map[string]string{"DIGITALOCEAN_TOKEN": "dop_v1_0", "DIGITALOCEAN_TOKEN_FILE": empty}, good, portsnare.Invalid,
			"digitalocean: find the token: both DIGITALOCEAN_TOKEN and DIGITALOCEAN_TOKEN_FILE are set", "unset one of the two"},
		{"no file", map[string]string{"DIGITALOCEAN_ACCESS_TOKEN_FILE": dir + "/none"}, good, portsnare.Invalid,
			"digitalocean: find the token: open " + dir + "/none: no such file or directory",
			"set DIGITALOCEAN_ACCESS_TOKEN_FILE to the name of a file that holds the token"},
		{"empty file", map[string]string{"DIGITALOCEAN_TOKEN_FILE": empty}, good, portsnare.Denied,
			"digitalocean: find the token: none is given", hintToken},
		{"two lines", map[string]string{"DIGITALOCEAN_TOKEN": "a\nb"}, good, portsnare.Invalid,
			"digitalocean: use the token: it is empty or holds characters that none has", hintToken},
		{"a name for an id", token, digitalocean.Options{FirewallID: "portsnare-web", Mark: mark}, portsnare.Invalid,
			"digitalocean: open firewall portsnare-web: want an id such as bb4b2611-3d72-467b-8602-280330ecd65c",
			"set the group's `firewall` to the id of the firewall: `doctl compute firewall list` shows it"},
		{"no mark", token, digitalocean.Options{FirewallID: someID}, portsnare.Invalid,
			"digitalocean: open firewall " + someID + ": an owner mark is needed", ""},
		{"no address", map[string]string{"DIGITALOCEAN_TOKEN": "dop_v1_0", "DIGITALOCEAN_API_URL": "api.digitalocean.com"}, good, portsnare.Invalid,
			"digitalocean: use the endpoint api.digitalocean.com: want an address such as https://api.digitalocean.com", "correct DIGITALOCEAN_API_URL, or unset it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environment(t, tt.variables)
			_, err := digitalocean.Open(tt.options)
			wantError(t, err, tt.kind, tt.text, tt.hint)
		})
	}
}

// The pace is under what DigitalOcean allows in any minute, however many calls
// wait.
func TestPace(t *testing.T) {
	const calls = 600
	synctest.Test(t, func(t *testing.T) {
		pace := digitalocean.NewPace()
		var at []time.Time
		for range calls {
			noError(t, pace.Wait(t.Context()))
			at = append(at, time.Now())
		}
		for i := range at {
			inMinute := 0
			for _, other := range at[i:] {
				if other.Sub(at[i]) < time.Minute {
					inMinute++
				}
			}
			if inMinute > 250 {
				t.Fatalf("%d calls in one minute, want 250 at most", inMinute)
			}
		}
		if took := at[calls-1].Sub(at[0]); took > 3*time.Minute {
			t.Errorf("%d calls took %s: too slow", calls, took)
		}
	})
}

// Calls wait for their turn, and no longer than their context.
func TestPaceHoldsCalls(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	l.options.Pace = rate.NewLimiter(rate.Every(time.Hour), 1)
	f := l.open(l.options)
	_, err := f.Rules(t.Context())
	noError(t, err)
	ctx, cancel := contextWithTimeout(t, 50*time.Millisecond)
	defer cancel()
	_, err = f.Rules(ctx)
	wantError(t, err, portsnare.Transient, "digitalocean: read the rules of "+l.id+": context deadline exceeded", "")
	if got := len(l.do.Calls()); got != 1 {
		t.Errorf("%d calls, want 1", got)
	}
}

package rest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/rest"
)

var cloud = rest.Cloud{
	Name: "mars", Endpoint: "https://api.mars.test", EndpointVariable: "MARS_API_URL",
	Token: "key", TokenVariables: []string{"MARS_KEY", "MARS_OLD_KEY"},
	Letters: regexp.MustCompile(`^[a-z]+$`), HintToken: "set MARS_KEY", Pace: rate.NewLimiter(rate.Inf, 1),
}

func TestEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("filed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		variables map[string]string
		given     rest.Options
		token     string
		kind      portsnare.Kind
		text      string
	}{
		{"given", map[string]string{"MARS_KEY": "set"}, rest.Options{Token: "given"}, "given", "", ""},
		{"set", map[string]string{"MARS_KEY": "set", "MARS_OLD_KEY": "old"}, rest.Options{}, "set", "", ""},
		{"the second name", map[string]string{"MARS_OLD_KEY": "old"}, rest.Options{}, "old", "", ""},
		{"in a file", map[string]string{"MARS_OLD_KEY_FILE": file}, rest.Options{}, "filed", "", ""},
		{"none", nil, rest.Options{}, "", portsnare.Denied, "mars: find the key: none is given"},
		{"both", map[string]string{"MARS_KEY": "set", "MARS_KEY_FILE": file}, rest.Options{}, "", portsnare.Invalid,
			"mars: find the key: both MARS_KEY and MARS_KEY_FILE are set"},
		{"no file", map[string]string{"MARS_KEY_FILE": "/absent/8000"}, rest.Options{}, "", portsnare.Invalid,
			"mars: find the key: open /absent/8000: no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.variables {
				t.Setenv(name, value)
			}
			t.Setenv("MARS_API_URL", "https://other.test")
			got, err := cloud.Environment(tt.given)
			if portsnare.KindOf(err) != tt.kind || err != nil && err.Error() != tt.text {
				t.Fatalf("error %v, want %q of kind %q", err, tt.text, tt.kind)
			}
			if err == nil && (got.Token != tt.token || got.Endpoint != "https://other.test") {
				t.Errorf("got %+v, want the token %q and the endpoint of the environment", got, tt.token)
			}
		})
	}
}

func TestNewClientTakesEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		"": "https://api.mars.test/", "https://h.test": "https://h.test/", "http://127.0.0.1:8080/": "http://127.0.0.1:8080/",
		"https://h.test/v2": "https://h.test/", "https://h.test/v2/": "https://h.test/",
		"h.test": "", "ftp://h.test": "", "https://h.test/x": "", "https://h.test?x": "", "https:///v2": "", "https://me:key@h.test": "", "https://h.test:x": "",
	} {
		c, err := cloud.NewClient(rest.Options{Token: "key", Endpoint: text})
		switch {
		case want == "" && portsnare.KindOf(err) != portsnare.Invalid:
			t.Errorf("%q: error %v, want one of kind %q", text, err, portsnare.Invalid)
		case want != "" && (err != nil || c.Endpoint.String() != want):
			t.Errorf("%q: %v, %v; want %s", text, c, err, want)
		}
	}
	for _, token := range []string{"", "a b", "a\nb", "KEY"} {
		if _, err := cloud.NewClient(rest.Options{Token: token}); portsnare.KindOf(err) != portsnare.Invalid {
			t.Errorf("token %q: error %v, want one of kind %q", token, err, portsnare.Invalid)
		}
	}
}

// The token goes where the endpoint is, and nowhere else.
func TestClientFollowsNobody(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	var token string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("Authorization")
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer api.Close()
	c, err := cloud.NewClient(rest.Options{Token: "key", Endpoint: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := c.HTTP.Get(c.Endpoint.String())
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusTemporaryRedirect || token != "Bearer key" {
		t.Errorf("status %d to %q, want the redirect as it is, to the token", reply.StatusCode, token)
	}
}

func TestWait(t *testing.T) {
	c, err := cloud.NewClient(rest.Options{Token: "key", Pace: rate.NewLimiter(rate.Every(1<<62), 2)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(t.Context(), 2); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

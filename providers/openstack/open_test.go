package openstack_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/openstack"
)

// environment makes a machine that knows nothing of OpenStack but the variables
// given as pairs, and a folder to be in.
func environment(t *testing.T, pairs ...string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OS_") {
			t.Setenv(name, "") // and back again at the end
			noError(t, os.Unsetenv(name))
		}
	}
	t.Chdir(t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for i := 0; i < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
}

// cloud is a lab behind a Keystone: only a call with its token gets through.
func cloud(t *testing.T) (*lab, *keystone) {
	t.Helper()
	l := newLab(t)
	k := newKeystone(t, l.url)
	l.line.replace(func(r *http.Request) *answer {
		if strings.HasPrefix(r.URL.Path, "/v2.0/") && r.Header.Get("X-Auth-Token") != k.token() {
			return &answer{401, jsonHeader, []byte(`{"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}`)}
		}
		return nil
	})
	return l, k
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	noError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	noError(t, os.WriteFile(path, []byte(text), 0o600))
}

// TestOpen logs in by every way that users of the openstack command know.
func TestOpen(t *testing.T) {
	l, k := cloud(t)
	const byPassword = `{"identity": {"methods": ["password"], "password": {"user": {"name": "ops", "password": "sesame", "domain": {"name": "Default"}}}},
		"scope": {"project": {"name": "shop", "domain": {"id": "default"}}}}`
	const byCredential = `{"identity": {"methods": ["application_credential"], "application_credential": {"id": "cred", "secret": "sesame"}}}`
	clouds := "clouds:\n  tokyo:\n    region_name: here\n    auth: {auth_url: \"" + k.url + "\", username: ops, " +
		"user_domain_name: Default, project_name: shop, project_domain_id: default"
	openrc := []string{"OS_AUTH_URL", k.url, "OS_USERNAME", "ops", "OS_PASSWORD", "sesame", "OS_USER_DOMAIN_NAME", "Default",
		"OS_PROJECT_NAME", "shop", "OS_PROJECT_DOMAIN_ID", "default", "OS_REGION_NAME", "here", "OS_INTERFACE", "public"}
	for _, tt := range []struct {
		name        string
		environment []string
		options     openstack.Options
		prepare     func(t *testing.T)
		want        string // what Keystone is asked
	}{
		{"an openrc file", openrc, openstack.Options{}, nil, byPassword},
		{"an openrc file, elsewhere by options", append(openrc, "OS_REGION_NAME", "there"), openstack.Options{Region: "here"}, nil, byPassword},
		{"an application credential", []string{"OS_AUTH_URL", k.url, "OS_APPLICATION_CREDENTIAL_ID", "cred",
			"OS_APPLICATION_CREDENTIAL_SECRET", "sesame"}, openstack.Options{}, nil, byCredential},
		{"clouds.yaml here", []string{"OS_CLOUD", "tokyo"}, openstack.Options{}, func(t *testing.T) {
			writeFile(t, "clouds.yaml", clouds+", password: sesame}\n")
		}, byPassword},
		{"clouds.yaml and secure.yaml of the user", nil, openstack.Options{Cloud: "tokyo"}, func(t *testing.T) {
			folder := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "openstack")
			writeFile(t, filepath.Join(folder, "clouds.yaml"), clouds+"}\n")
			writeFile(t, filepath.Join(folder, "secure.yaml"), "clouds: {tokyo: {auth: {password: sesame}}}\n")
		}, byPassword},
		{"clouds.yaml at a place of its own", []string{"OS_CLIENT_CONFIG_FILE", "mine.yaml", "OS_CLOUD", "paris"}, openstack.Options{Cloud: "tokyo"}, func(t *testing.T) {
			writeFile(t, "mine.yaml", clouds+", password: sesame}\n")
		}, byPassword},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environment(t, tt.environment...)
			if tt.prepare != nil {
				tt.prepare(t)
			}
			tt.options.GroupID, tt.options.Mark, tt.options.Rules = l.group, mark, 500
			nth := k.count()
			f, err := openstack.Open(tt.options)
			noError(t, err)
			if k.count() != nth {
				t.Error("it logged in before anybody asked for anything")
			}
			got, err := f.Limits(context.Background())
			noError(t, err)
			if want := (portsnare.Limits{Rules: 100 - 4 - 2}); got != want {
				t.Errorf("limits %+v, want %+v", got, want)
			}
			if d := cmp.Diff(decode(t, tt.want), decode(t, k.asked(nth))); d != "" {
				t.Errorf("login (-want +got):\n%s", d)
			}
			if n := k.count() - nth; n != 1 {
				t.Errorf("%d logins for two calls, want 1", n)
			}
		})
	}
}

func decode(t *testing.T, text string) (value any) {
	t.Helper()
	noError(t, json.Unmarshal([]byte(text), &value))
	return value
}

// opened returns the lab's group by an application credential.
func opened(t *testing.T, l *lab, k *keystone, pairs ...string) *openstack.Firewall {
	t.Helper()
	environment(t, append([]string{"OS_AUTH_URL", k.url, "OS_APPLICATION_CREDENTIAL_ID", "cred", "OS_APPLICATION_CREDENTIAL_SECRET", "sesame"}, pairs...)...)
	f, err := openstack.Open(openstack.Options{GroupID: l.group, Mark: mark})
	noError(t, err)
	return f
}

// A token lives for some hours, a controller for months.
func TestTokenRunsOut(t *testing.T) {
	l, k := cloud(t)
	f := opened(t, l, k)
	_, err := f.Rules(context.Background())
	noError(t, err)
	k.expire()
	done, err := f.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp")})
	noError(t, err)
	if done.Writes != 1 || k.count() != 2 {
		t.Errorf("done %+v, %d logins; want one write and 2 logins", done, k.count())
	}
	k.expire()
	k.setShut(true)
	_, err = f.Rules(context.Background())
	wantError(t, err, portsnare.Denied,
		"openstack: log in to reach "+l.group+": The request you have made requires authentication (Unauthorized)", hintCredential)
	k.setShut(false)
	_, err = f.Rules(context.Background())
	noError(t, err)
}

// One that failed to log in tries again when it is next asked.
func TestLoginRefused(t *testing.T) {
	l, k := cloud(t)
	f := opened(t, l, k)
	k.setShut(true)
	done, err := f.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp")})
	wantError(t, err, portsnare.Denied,
		"openstack: log in to reach "+l.group+": The request you have made requires authentication (Unauthorized)", hintCredential)
	if done.Writes != 0 || len(l.line.made(0)) != 0 {
		t.Errorf("done %+v, calls %v; want none", done, l.line.made(0))
	}
	k.setShut(false)
	_, err = f.Rules(context.Background())
	noError(t, err)
}

func TestLoginErrors(t *testing.T) {
	l, k := cloud(t)
	for _, tt := range []struct {
		name        string
		environment []string
		kind        portsnare.Kind
		text, hint  string
	}{
		{"a region that is not", []string{"OS_REGION_NAME", "nowhere"}, portsnare.NotFound,
			"No suitable endpoint could be found in the service catalog",
			"set OS_REGION_NAME, or the provider's `region`, to a region that `openstack catalog show network` names"},
		{"another's address", []string{"OS_AUTH_URL", l.url + "/v3"}, portsnare.NotFound,
			"the answer is no reply of OpenStack (HTTP status 404)",
			"is OS_AUTH_URL, or auth_url in clouds.yaml, the address of the cloud's identity service?"},
		{"nobody's address", []string{"OS_AUTH_URL", "http://127.0.0.1:1/v3"}, portsnare.Transient,
			`Post "http://127.0.0.1:1/v3/auth/tokens": dial tcp 127.0.0.1:1: connect: connection refused`, ""},
		{"an interface that is not reached", []string{"OS_INTERFACE", "internal"}, portsnare.Transient,
			`Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused`, ""},
		{"half a credential", []string{"OS_APPLICATION_CREDENTIAL_SECRET", ""}, portsnare.Invalid, "",
			"set OS_CLOUD to a cloud in clouds.yaml, or load an openrc file: OS_AUTH_URL, and OS_APPLICATION_CREDENTIAL_ID and _SECRET or OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and the domains of both"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := opened(t, l, k, tt.environment...).Rules(context.Background())
			if tt.text != "" {
				tt.text = "openstack: log in to reach " + l.group + ": " + tt.text
			}
			wantError(t, err, tt.kind, tt.text, tt.hint)
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := opened(t, l, k).Rules(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// A private cloud often has a certificate authority of its own.
func TestOpenWithAuthority(t *testing.T) {
	l, k := cloud(t)
	server := httptest.NewTLSServer(k)
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, bundle, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	_, err := opened(t, l, k, "OS_AUTH_URL", server.URL+"/v3", "OS_CACERT", bundle).Rules(context.Background())
	noError(t, err)
}

func TestOpenRefuses(t *testing.T) {
	const hintEnvironment = "set OS_CLOUD to a cloud in clouds.yaml, or load an openrc file: OS_AUTH_URL, and OS_APPLICATION_CREDENTIAL_ID and _SECRET or OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and the domains of both"
	for _, tt := range []struct {
		name        string
		environment []string
		options     openstack.Options
		text, hint  string
	}{
		{"a name for an id", nil, openstack.Options{GroupID: "web", Mark: mark},
			"openstack: open security group web: want an id such as b985643f-3424-4e67-9768-8f8e3e9f0112",
			"set the group's `firewall` to the id that `openstack security group list` shows"},
		{"no mark", nil, openstack.Options{GroupID: group}, "openstack: open security group " + group + ": an owner mark is needed", ""},
		{"a quota below 0", nil, openstack.Options{GroupID: group, Mark: mark, Rules: -1},
			"openstack: open security group " + group + ": a quota of -1 rules cannot be", ""},
		{"nothing set", nil, openstack.Options{GroupID: group, Mark: mark},
			"openstack: read the OpenStack configuration: neither OS_CLOUD nor OS_AUTH_URL is set", hintEnvironment},
		{"a cloud that is not there", []string{"OS_CLOUD", "mars", "OS_CLIENT_CONFIG_FILE", "mine.yaml"}, openstack.Options{GroupID: group, Mark: mark},
			`openstack: read the OpenStack configuration: cloud "mars" not found in clouds.yaml`, hintEnvironment},
		{"no clouds.yaml", []string{"OS_CLOUD", "mars", "OS_CLIENT_CONFIG_FILE", "absent.yaml"}, openstack.Options{GroupID: group, Mark: mark},
			"openstack: read the OpenStack configuration: clouds file not found. Search locations were: [absent.yaml]", hintEnvironment},
		{"an authority that is not there", []string{"OS_AUTH_URL", "https://cloud.example", "OS_CACERT", "/absent"}, openstack.Options{GroupID: group, Mark: mark},
			"openstack: read the OpenStack configuration: unable to compute TLS configuration: failed to open the CA cert file: open /absent: no such file or directory", hintEnvironment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environment(t, tt.environment...)
			writeFile(t, "mine.yaml", "clouds: {}\n")
			_, err := openstack.Open(tt.options)
			wantError(t, err, portsnare.Invalid, tt.text, tt.hint)
		})
	}
}

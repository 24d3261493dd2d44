package openstack_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
	"github.com/portsnare/portsnare/providers/openstack"
)

// Logging in is part of a call, and ends with it: where Keystone is silent, where
// the network service does not tell its version, for which the SDK asks without a
// context, and for whoever waits for somebody else's login.
func TestLoginEndsWithTheCall(t *testing.T) {
	const life = 300 * time.Millisecond
	silent := httptest.NewServer(fakeapi.Silence)
	t.Cleanup(silent.Close)
	k := newKeystone(t, silent.URL)
	for name, identity := range map[string]string{"Keystone is silent": silent.URL + "/v3", "Neutron is silent": k.url} {
		t.Run(name, func(t *testing.T) {
			environment(t, "OS_AUTH_URL", identity, "OS_APPLICATION_CREDENTIAL_ID", "cred", "OS_APPLICATION_CREDENTIAL_SECRET", "sesame")
			f, err := openstack.Open(openstack.Options{GroupID: "b985643f-3424-4e67-9768-8f8e3e9f0112", Mark: mark})
			noError(t, err)
			f.SetTimeout(life)
			began := time.Now()
			var callers errgroup.Group
			for range 5 {
				callers.Go(func() error {
					_, err := f.Rules(context.Background())
					return err
				})
			}
			err = callers.Wait()
			if took := time.Since(began); portsnare.KindOf(err) != portsnare.Transient || took > life+5*time.Second {
				t.Errorf("error %v after %s, want one of kind %q after %s", err, took, portsnare.Transient, life)
			}
		})
	}
}

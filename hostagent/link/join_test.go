package link_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/link"
	"github.com/portsnare/portsnare/rotator/hub"
)

func invite(t *testing.T, h *hub.Hub, renew bool) portsnare.Token {
	t.Helper()
	token, err := h.Enroll(t.Context(), "web-1", renew)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func credentialFor(t *testing.T, token portsnare.Token) portsnare.Token {
	t.Helper()
	credential, err := link.NewCredential(token)
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

// TestJoin: a token works once. The key is the host's own, and the token alone is
// good for nothing else.
func TestJoin(t *testing.T) {
	h := openHub(t, hub.Options{Dir: t.TempDir()})
	token := invite(t, h, false)
	credential := credentialFor(t, token)
	if credential.Seed == token.Seed {
		t.Fatal("the credential is the token's")
	}
	if _, err := link.New(link.Options{Token: token}); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("running with the token: %v; want kind %q", err, portsnare.Invalid)
	}
	for range 2 { // the second time as where the answer was lost
		if err := link.Join(t.Context(), token, credential); err != nil {
			t.Fatal(err)
		}
	}
	run(t, credential).log.await(t, "connected")

	err := link.Join(t.Context(), token, credentialFor(t, token))
	if !errors.Is(err, portsnare.Conflict) || !strings.Contains(err.Error(), "the token was used at") || !strings.Contains(portsnare.HintOf(err), "portsnare enroll --renew web-1") {
		t.Errorf("the token a second time: %v (hint %q)", err, portsnare.HintOf(err))
	}
	if err := link.Join(t.Context(), invite(t, h, true), credential); err != nil {
		t.Errorf("the same key with a new token: %v", err)
	}
	if _, err := link.NewCredential(credential); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("joining with a credential: %v; want kind %q", err, portsnare.Invalid)
	}
}

// A newer token makes the older one void, used or not.
func TestJoinWithAVoidToken(t *testing.T) {
	h := openHub(t, hub.Options{Dir: t.TempDir()})
	old := invite(t, h, false)
	invite(t, h, true)
	err := link.Join(t.Context(), old, credentialFor(t, old))
	if !errors.Is(err, portsnare.Conflict) || portsnare.HintOf(err) == "" {
		t.Errorf("got %v (hint %q); want kind %q", err, portsnare.HintOf(err), portsnare.Conflict)
	}
	h.Close()
	if err := link.Join(t.Context(), old, credentialFor(t, old)); !errors.Is(err, portsnare.Unavailable) {
		t.Errorf("without a controller: %v; want kind %q", err, portsnare.Unavailable)
	}
}

// TestClone: a second machine with the same credential is refused, and the host
// is in doubt: it does not count as armed, and says why.
func TestClone(t *testing.T) {
	h := openHub(t, hub.Options{Dir: t.TempDir()})
	credential := enroll(t, h, "web-1")
	first := run(t, credential)
	first.log.await(t, "connected")
	order := newOrder("web-1", 1)
	send(t, h, order)
	first.next(t)
	first.Report(reportOf(order))
	await(t, h, order)

	run(t, credential).log.await(t, "another machine is connected with this host's credential")
	report, _ := h.Report("web-1")
	if report.Problem != "a second machine at 127.0.0.1 uses this host's credential" {
		t.Errorf("problem %q", report.Problem)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := h.Await(ctx, order); !errors.Is(err, portsnare.Transient) || !strings.Contains(err.Error(), "a second machine") {
		t.Errorf("Await: %v; want the second machine", err)
	}
	if about := h.Bans().Hosts[0]; about.Whole {
		t.Error("its bans are taken for whole")
	}
}

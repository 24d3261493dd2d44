package embedded

import (
	"encoding/base64"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// Inboxes of those who are no hosts. Those of hosts begin with _INBOX.
const (
	ControllerInbox = "_CONTROLLER"
	OperatorInbox   = "_OPERATOR"
)

// User is whose credential a key is.
type User struct {
	Host string    // "" for the operator
	Old  bool      // a host of the first version, which has no certificate
	Join bool      // the key is good for joining and nothing else
	End  time.Time // the key is void from then on; zero: never
}

// gate decides who may connect and what they may do then. It asks for a
// signature of the server's nonce, so a credential never crosses the network.
type gate struct {
	controller, hosts *server.Account
	now               func() time.Time

	mu    sync.RWMutex
	own   string          // public nkey of the controller's own connection
	users map[string]User // by public nkey
	old   int             // how many of them are of the first version
}

func newGate(now func() time.Time) *gate { return &gate{now: now, users: make(map[string]User)} }

// bind tells the gate the server's accounts, before anybody connects.
func (g *gate) bind(s *server.Server) (err error) {
	if g.controller, err = s.LookupAccount(controllerAccount); err != nil {
		return err
	}
	g.hosts, err = s.LookupAccount(hostAccount)
	return err
}

// Check implements server.Authentication.
func (g *gate) Check(c server.ClientAuthentication) bool {
	claim := c.GetOpts()
	if !signed(claim.Nkey, claim.Sig, c.GetNonce()) {
		return false
	}
	g.mu.RLock()
	own := claim.Nkey == g.own
	g.mu.RUnlock()
	if own {
		c.RegisterUser(&server.User{Username: "controller", Account: g.controller})
		return true
	}
	user, ok := g.get(claim.Nkey)
	if ok {
		c.RegisterUser(g.natsUser(user))
	}
	return ok
}

// signed reports whether sig is key's signature of the nonce.
func signed(key, sig string, nonce []byte) bool {
	signature, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil {
		return false
	}
	public, err := nkeys.FromPublicKey(key)
	return err == nil && public.Verify(nonce, signature) == nil
}

// get returns the user of a key that is good now.
func (g *gate) get(key string) (User, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	user, ok := g.users[key]
	return user, ok && (user.End.IsZero() || g.now().Before(user.End))
}

// anyOld reports whether a host of the first version is enrolled.
func (g *gate) anyOld() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.old > 0
}

func (g *gate) admit(key string, user User) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(key)
	g.users[key] = user
	if user.Old {
		g.old++
	}
}

func (g *gate) refuse(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(key)
}

func (g *gate) remove(key string) {
	if g.users[key].Old {
		g.old--
	}
	delete(g.users, key)
}

// natsUser says what a user may do.
func (g *gate) natsUser(u User) *server.User {
	switch {
	case u.Host == "": // may ask the controller
		return &server.User{
			Username: "operator", Account: g.controller,
			Permissions: permissions([]string{portsnare.SubjectControl + ">"}, OperatorInbox+".>"),
		}
	case u.Join:
		return &server.User{
			Username: "guest " + u.Host, Account: g.hosts,
			Permissions: permissions([]string{portsnare.JoinRequest(u.Host)}, portsnare.InboxPrefix(u.Host)+".>"),
		}
	}
	return &server.User{ // may hear its own orders and speak in its own name
		Username: "host " + u.Host, Account: g.hosts,
		Permissions: permissions([]string{
			portsnare.OrderRequest(u.Host),
			portsnare.ReportSubject(u.Host),
			portsnare.HitsSubject(u.Host),
			portsnare.BansSubject(u.Host),
		}, portsnare.PushSubject(u.Host), portsnare.ResyncSubject(u.Host), portsnare.InboxPrefix(u.Host)+".>"),
	}
}

func permissions(speak []string, hear ...string) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: speak},
		Subscribe: &server.SubjectPermission{Allow: hear},
	}
}

package hub

import (
	"encoding/base64"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// Inboxes of those who are no hosts. Those of hosts begin with _INBOX.
const (
	controllerInbox = "_CONTROLLER"
	operatorInbox   = "_OPERATOR"
)

// gate decides who may connect and what they may do then. It asks for a
// signature of the server's nonce, so a credential never crosses the network.
type gate struct {
	controller, hosts *server.Account

	mu    sync.RWMutex
	users map[string]*server.User // by public nkey
}

func newGate() *gate { return &gate{users: make(map[string]*server.User)} }

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
	g.mu.RLock()
	user := g.users[claim.Nkey]
	g.mu.RUnlock()
	if user == nil || !signed(claim, c.GetNonce()) {
		return false
	}
	c.RegisterUser(user)
	return true
}

func signed(claim *server.ClientOpts, nonce []byte) bool {
	signature, err := base64.RawURLEncoding.DecodeString(claim.Sig)
	if err != nil {
		return false
	}
	public, err := nkeys.FromPublicKey(claim.Nkey)
	return err == nil && public.Verify(nonce, signature) == nil
}

func (g *gate) admit(key string, user *server.User) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users[key] = user
}

func (g *gate) refuse(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.users, key)
}

// controllerUser may do everything in the controller's account.
func (g *gate) controllerUser() *server.User {
	return &server.User{Username: "controller", Account: g.controller}
}

// operatorUser may ask the controller.
func (g *gate) operatorUser() *server.User {
	return &server.User{
		Username:    "operator",
		Account:     g.controller,
		Permissions: permissions([]string{portsnare.SubjectControl + ">"}, operatorInbox+".>"),
	}
}

// hostUser may hear its own orders and speak in its own name.
func (g *gate) hostUser(host string) *server.User {
	return &server.User{
		Username: "host " + host,
		Account:  g.hosts,
		Permissions: permissions([]string{
			portsnare.OrderRequest(host),
			portsnare.ReportSubject(host),
			portsnare.HitsSubject(host),
			portsnare.BansSubject(host),
		}, portsnare.PushSubject(host), portsnare.InboxPrefix(host)+".>"),
	}
}

func permissions(speak []string, hear ...string) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: speak},
		Subscribe: &server.SubjectPermission{Allow: hear},
	}
}

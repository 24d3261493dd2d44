package openstack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A keystone knows one application credential and one user, and hands out
// tokens for the lab's Neutron in region "here".
type keystone struct {
	url     string // with /v3
	neutron string

	mu     sync.Mutex
	logins []json.RawMessage // what was asked
	tokens int               // how many were handed out
	shut   bool              // knows nobody any more
}

func newKeystone(t *testing.T, neutron string) *keystone {
	t.Helper()
	k := &keystone{neutron: neutron}
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	k.url = server.URL + "/v3"
	return k
}

// token is the only one that is valid now.
func (k *keystone) token() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return fmt.Sprint("token-", k.tokens)
}

// expire ends the token that is valid now.
func (k *keystone) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens++
}

func (k *keystone) setShut(shut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shut = shut
}

// count returns how many logins there were.
func (k *keystone) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.logins)
}

// asked returns what the nth login asked for.
func (k *keystone) asked(n int) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n >= len(k.logins) {
		return "no login"
	}
	return string(k.logins[n])
}

func (k *keystone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodPost || r.URL.Path != "/v3/auth/tokens" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var body struct{ Auth json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || !k.knows(body.Auth) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}`)
		return
	}
	k.logins = append(k.logins, body.Auth)
	k.tokens++
	w.Header().Set("X-Subject-Token", fmt.Sprint("token-", k.tokens))
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": [{"type": "network", "name": "neutron", "endpoints": [
		{"id": "1", "interface": "public", "region": "here", "region_id": "here", "url": %q},
		{"id": "2", "interface": "internal", "region": "here", "region_id": "here", "url": "http://127.0.0.1:1"}]}]}}`, k.neutron)
}

func (k *keystone) knows(auth json.RawMessage) bool {
	type secret struct{ ID, Name, Password, Secret string }
	var a struct {
		Identity struct {
			Password              struct{ User secret }
			ApplicationCredential secret `json:"application_credential"`
		}
	}
	if json.Unmarshal(auth, &a) != nil || k.shut {
		return false
	}
	user, credential := a.Identity.Password.User, a.Identity.ApplicationCredential
	return user.Name == "ops" && user.Password == "sesame" || credential.ID == "cred" && credential.Secret == "sesame"
}

package none

import "github.com/portsnare/portsnare"

// Put remembers an opening that may be remembered already, and returns its id.
func (f *Firewall) Put(o portsnare.Opening) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.remember(o)
}

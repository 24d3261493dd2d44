package none

import (
	"slices"

	"github.com/portsnare/portsnare"
)

// Put remembers an opening with any mark, and may do so again, and returns its id.
func (f *Firewall) Put(o portsnare.Opening, mark portsnare.Mark) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.remember(o, mark)
}

// Forget forgets an opening, whatever its mark.
func (f *Firewall) Forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = slices.DeleteFunc(f.rules, func(r portsnare.Rule) bool { return r.ID == id })
}

package kerneltest

import (
	"strings"
	"testing"
)

// TestFullMemory: a flood of more sources than the kernel keeps in mind fills a
// memory, which is said. Nobody suffers.
func TestFullMemory(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		if full := w.full(); len(full) > 0 {
			t.Errorf("full before the flood: %v", full)
		}
		w.flood(1005, 70_000)
		full := w.full()
		if len(full) == 0 {
			t.Error("nothing is full after the flood")
		}
		for _, name := range full {
			if !strings.HasPrefix(name, "strike"+w.digit) {
				t.Errorf("%s is full, want the strikes of %s", name, w.family.name)
			}
		}
		if bans := w.bans(); len(bans) > 0 {
			t.Errorf("%d bans, want none", len(bans))
		}
		w.wantBanned(w.source(), false)
		w.record("Floods", "70,000 forged sources, one trap", "strikes are full and said to be, nobody banned")
	})
}

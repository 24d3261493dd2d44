package kerneltest

import (
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestFlood: a flood of forged sources bans nobody, hides no scanner and keeps
// no client out.
func TestFlood(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		scanner, client := w.source(), w.source()
		w.syn(scanner, 1001, 1002)
		w.flood(1005, 20_000)
		w.wantBanned(client, false)
		w.syn(scanner, 1003)
		w.wantBanned(scanner, true)
		w.flood(1005, 20_000)
		if got := len(w.bans()); got != 1 {
			t.Errorf("%d bans, want only the scanner's", got)
		}
		w.wantSilent(1005, 1005)
		w.record("Floods", "40,000 SYNs of 20,000 forged sources, one trap", "nobody banned but a scanner in their midst")
	})
}

// TestFloodOfHping3: sources anywhere in the address space.
func TestFloodOfHping3(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		if w.server.Is6() {
			return // hping3 knows IPv4 only
		}
		w.set(w.order())
		w.check(w.program("hping3", "--quiet", "--interface", netlab.Eth0, "--rand-source", "-S",
			"-p", "1005", "-c", "10000", "-i", "u1", w.server.String()))
		if got := w.bans(); len(got) > 0 {
			t.Errorf("%d bans, want none", len(got))
		}
		w.wantSilent(1005, 1005)
		w.wantBanned(w.source(), false)
		w.record("Floods", "hping3 --rand-source, one trap", "nobody banned, silent")
	})
}

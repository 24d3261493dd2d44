package providertest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

// flawVariable names the flaw of the provider that TestWalk walks.
const flawVariable = "PORTSNARE_TEST_FLAW"

// A provider in memory passes, unless the environment gives it a flaw.
func TestWalk(t *testing.T) {
	broken := flaw(os.Getenv(flawVariable))
	Run(t, Provider{
		Mark: memoryMark,
		New: func(_ *testing.T, room int) Subject {
			m := newMemory(broken, room)
			return Subject{
				Firewall: m, Human: memoryHuman{m}, Faults: m,
				Writes: func() int { return m.writes },
				Remove: func() error { m.gone = true; return nil },
				Hasten: func(d time.Duration) { m.life = d },
			}
		},
		Writes: func(_ []portsnare.Rule, plan portsnare.Plan) int {
			return min(1, len(plan.Open)) + min(1, len(plan.Close))
		},
		Forms:  []Form{Plain, Marked, Deny, Named, Former, OtherOwner, OtherGroup, OldGroup},
		Faults: []Fault{LostRequest, LostReply, Throttled, ThrottledFor, ServerError, LateError, Hang, Silence, Refusal},
	})
}

// Each flaw is found, and by the scene that is about it.
func TestWalkFinds(t *testing.T) {
	for broken, scene := range map[flaw]string{
		touchesOthers:   "foreign",
		closesProtected: "states",
		leavesOne:       "states",
		claimsTooMuch:   "partial",
		claimsNothing:   "states",
		miscounts:       "states",
		opensTwice:      "duplicates",
		opensUnmarked:   "states",
		oneByOne:        "states",
		trustsPlans:     "refusals",
		readsNothing:    "absent",
		deaf:            "faults",
		hasty:           "cancellation",
		opensFirst:      "limit",
		dropsWhatIsFull: "limit",
		tellsNoFailure:  "faults",
		givesUp:         "faults",
		forgetsV6:       "states",
		ignoresOwners:   "marks",
		hidesMarks:      "marks",
		forgetsFormer:   "marks",
		keepsFormer:     "marks",
		tellsPorts:      "secrets",
		tellsNothing:    "secrets",
		asksAgain:       "lifetime",
		waitsForEver:    "lifetime",
	} {
		t.Run(string(broken), func(t *testing.T) {
			t.Parallel()
			walk := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWalk$", "-test.timeout=60s")
			walk.Env = append(os.Environ(), flawVariable+"="+string(broken), movesVariable+"=50")
			out, err := walk.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestWalk/"+scene) || strings.Contains(string(out), "panic:") {
				t.Errorf("%v; want %q to fail:\n%s", err, scene, out)
			}
		})
	}
}

package fleet

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// moving returns the parts of the group web and of the former group of web-1.
func moving(t *testing.T) (web, old *Part, l *link) {
	t.Helper()
	f, l := newFleet(t)
	return f.Part, f.Fleet.Part("old", "web-1"), l
}

func arm(t *testing.T, p *Part, host string, traps portsnare.TrapSet) {
	t.Helper()
	if err := p.Arm(t.Context(), []string{host}, traps); err != nil {
		t.Fatal(err)
	}
}

// A host that has moved watches the traps of both groups until the former one
// releases it, whichever comes first, with its own group's generation.
func TestHostOfTwoGroups(t *testing.T) {
	web, old, l := moving(t)
	arm(t, web, "web-1", set(3, 9, 21))
	arm(t, web, "web-2", set(3, 9, 21))
	if len(l.sends) != 1 || l.sends[0][0] != "web-2" {
		t.Fatalf("orders to %q, and the traps of a former group are not known", l.sends)
	}
	if web.Carries("web-1", set(3, 9, 21)) || web.Watches("web-1", set(3, 9, 21)) {
		t.Error("web-1 counts as armed")
	}
	arm(t, old, "web-1", set(70, 22, 21, 4000))
	if o := l.armed["web-1"]; o.Generation != 3 || o.Group != "web" || !o.Traps.Ports().Equal(ports(9, 21, 4000)) {
		t.Errorf("ordered %+v", o)
	}
	if !web.Carries("web-1", set(3, 9, 21)) || !old.Watches("web-1", set(70, 22, 21, 4000)) || old.Watches("web-1", set(71, 5)) {
		t.Error("the report of web-1 is judged wrongly")
	}
	arm(t, web, "web-1", set(4, 11))
	if o := l.armed["web-1"]; o.Generation != 4 || !o.Traps.Ports().Equal(ports(11, 21, 4000)) {
		t.Errorf("the own group has disarmed the former one's traps: %+v", o)
	}
	if err := old.Release(t.Context(), []string{"web-1"}); err != nil {
		t.Fatal(err)
	}
	if o := l.armed["web-1"]; o.Generation != 4 || !o.Traps.Ports().Equal(ports(11)) {
		t.Errorf("after the release %+v", o)
	}
	if err := old.Arm(t.Context(), []string{"web-1"}, set(71, 5)); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("the former group arms again: %v", err)
	}
}

// A host that no group has is disarmed when it is released, and forgotten.
func TestReleaseDisarms(t *testing.T) {
	f, l := newFleet(t)
	arm(t, f.Part, "web-1", set(3, 9))
	if err := f.Release(t.Context(), []string{"web-1"}); err != nil {
		t.Fatal(err)
	}
	if o := l.armed["web-1"]; o.Generation != 3 || !o.Traps.Ports().Empty() || o.Group != "web" {
		t.Errorf("ordered %+v", o)
	}
	if err := f.Arm(t.Context(), []string{"web-1"}, set(4, 9)); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("Arm of a forgotten host = %v", err)
	}
}

// Where the order cannot be stored, the host is not forgotten.
func TestReleaseFails(t *testing.T) {
	f, l := newFleet(t)
	arm(t, f.Part, "web-1", set(3, 9))
	l.fail = portsnare.Transient
	if err := f.Release(t.Context(), []string{"web-1"}); !errors.Is(err, portsnare.Transient) {
		t.Fatalf("Release = %v", err)
	}
	l.fail = nil
	if err := f.Release(t.Context(), []string{"web-1"}); err != nil || !l.armed["web-1"].Traps.Ports().Empty() {
		t.Errorf("the second try: %v, armed %s", err, l.armed["web-1"].Traps.Ports())
	}
}

// A wait outlasts changes that another group makes to the order meanwhile.
func TestAwaitWhileAnotherGroupArms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, old, l := moving(t)
		arm(t, web, "web-1", set(3, 9))
		waited := make(chan error)
		go func() { waited <- web.Await(t.Context(), "web-1", set(3, 9)) }()
		synctest.Wait()
		l.slow = make(chan struct{})
		arm(t, old, "web-1", set(70, 4000))
		synctest.Wait()
		arm(t, old, "web-1", set(71, 4001))
		synctest.Wait()
		close(l.slow)
		if err := <-waited; err != nil {
			t.Errorf("Await = %v", err)
		}
	})
}

// A wait for a host whose former place was never read says so.
func TestAwaitNamesWhoIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, _, _ := moving(t)
		arm(t, web, "web-1", set(3, 9))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := web.Await(ctx, "web-1", set(3, 9))
		if !errors.Is(err, portsnare.Transient) || !strings.Contains(err.Error(), "old") || !strings.Contains(portsnare.HintOf(err), "old") {
			t.Errorf("Await = %v, hint %q", err, portsnare.HintOf(err))
		}
	})
}

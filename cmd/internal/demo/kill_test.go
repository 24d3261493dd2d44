package demo

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/netlab"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// drill is a world with the product running and the innocent client connecting
// all the time.
type drill struct {
	*testing.T
	*World
	ctx    context.Context
	client *client
	finish func() // ends the client
}

func newDrill(t *testing.T, traps string) *drill {
	t.Helper()
	return newDrillOf(t, binary, traps)
}

// newDrillOf begins with a version of the product that a test has built.
func newDrillOf(t *testing.T, version, traps string) *drill {
	t.Helper()
	netlab.New(t) // skips where there can be no namespaces
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	w, err := NewWorld(ctx, version, portsnare.Port{Protocol: portsnare.TCP, Number: 39172}, traps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &drill{T: t, World: w, ctx: ctx}
	if version != binary {
		w.cloudKeys = "" // an older one knows no such key
		d.must(w.configure())
	}
	d.must(w.StartController())
	d.must(w.Join())
	d.must(w.StartAgent())
	d.rotate()
	d.client = w.newClient()
	clientCtx, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { d.client.run(clientCtx) })
	d.finish = func() { stop(); tasks.Wait() }
	t.Cleanup(d.finish)
	return d
}

func (d *drill) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatalf("%v\ncontroller:\n%s\nagent:\n%s", err, d.controller.log.tail(20), d.agentLog())
	}
}

func (d *drill) agentLog() string {
	if d.agent == nil {
		return "(not started)"
	}
	return d.agent.log.tail(20)
}

func (d *drill) rotate() {
	d.Helper()
	_, err := d.Command(d.ctx, "rotate", groupName)
	d.must(err)
}

// rest demands that the group is at rest: a further rotation completes, and
// then the cloud holds exactly what the agent has armed, nothing answered, no
// protected port was closed, and no connection of the client failed.
func (d *drill) rest() {
	d.Helper()
	d.rotate()
	order, err := hostagent.LoadOrder(d.agentDir())
	d.must(err)
	if open := d.openTraps(); !open.Equal(order.Traps.Ports()) {
		d.Fatalf("open  %s\narmed %s", open, order.Traps.Ports())
	}
	answers, err := d.cloud.answers(d.ctx)
	d.must(err)
	if answers != 0 {
		d.Fatalf("traps answered with %d packets", answers)
	}
	if gap := d.cloud.protectedGap(); gap != 0 {
		d.Fatalf("the cloud did not admit a protected port for %s", gap)
	}
	if connections, failures := d.client.tally(); connections == 0 || len(failures) > 0 {
		d.Fatalf("%d of %d connections of the client failed: %v", len(failures), connections, failures)
	}
}

// openTraps returns the ports that our rules open to both families alike.
func (d *drill) openTraps() portsnare.PortSet {
	d.Helper()
	four, six := openPorts(d.cloud.Rules(d.cloud.group), func(r ec2fake.Rule) bool { return r.Tags["portsnare"] != "" })
	if !four.Equal(six) {
		d.Fatalf("IPv4 %s\nIPv6 %s", four, six)
	}
	return four
}

// restart starts the controller again and has it end what was begun.
func (d *drill) restart() {
	d.Helper()
	d.must(d.StartController())
	d.rest()
}

// duringRotation starts a rotation that need not succeed, runs do meanwhile,
// and returns when the command has ended. What the controller logs of this
// rotation begins at offset.
func (d *drill) duringRotation(do func(offset int)) {
	offset := d.controller.log.len()
	var rotation sync.WaitGroup
	rotation.Go(func() { d.Command(d.ctx, "rotate", groupName) })
	do(offset)
	rotation.Wait()
}

// ways are the two ways of a rotation on EC2 and how many steps each has.
var ways = []struct {
	name, traps string
	from, to    portsnare.TrapSet
	way         portsnare.Way
	write       []string // the calls that change the group
}{
	{name: "in place", traps: manyTraps, way: portsnare.InPlace, write: []string{"ModifySecurityGroupRules"}},
	{name: "open first", traps: fewTraps, way: portsnare.OpenFirst,
		write: []string{"AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"}},
}

func TestControllerKilledAtEveryStep(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			d := newDrill(t, way.traps)
			for i, step := range portsnare.Steps(way.from, way.to, way.way) {
				t.Logf("killed at step %d, %s", i, step.Kind)
				d.duringRotation(func(offset int) {
					d.must(d.controller.awaitLog(d.ctx, offset, "msg=step", "step="+string(step.Kind), "index="+strconv.Itoa(i)))
					d.controller.kill()
				})
				d.restart()
			}
		})
	}
}

// TestControllerKilledInEveryWrite kills the controller while the cloud holds
// its call: before it is carried out, and after, when only the reply is lost.
func TestControllerKilledInEveryWrite(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			d := newDrill(t, way.traps)
			for _, action := range way.write {
				for _, stage := range []ec2fake.Stage{ec2fake.Before, ec2fake.After} {
					t.Logf("killed %s %s", stage, action)
					d.duringRotation(func(int) { d.killIn(action, stage) })
					d.restart()
				}
			}
		})
	}
}

// killIn kills the controller when its call is at a stage, which then goes on
// without anybody listening.
func (d *drill) killIn(action string, stage ec2fake.Stage) {
	d.Helper()
	caught, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.cloud.Intercept(func(_ context.Context, s ec2fake.Stage, call ec2fake.Call) http.Handler {
		if s == stage && call.Action == action {
			once.Do(func() { close(caught); <-release })
		}
		return nil
	})
	select {
	case <-caught:
	case <-d.ctx.Done():
		d.Fatalf("%s was not called", action)
	}
	d.controller.kill()
	d.cloud.Intercept(nil)
	close(release)
}

func TestAgentKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	d := newDrill(t, fewTraps)
	for i, step := range portsnare.Steps(portsnare.TrapSet{}, portsnare.TrapSet{}, portsnare.OpenFirst) {
		t.Logf("killed at step %d, %s", i, step.Kind)
		d.duringRotation(func(offset int) {
			d.must(d.controller.awaitLog(d.ctx, offset, "msg=step", fmt.Sprintf("index=%d", i)))
			d.agent.kill()
			d.must(d.StartAgent())
		})
		d.rest()
	}
}

// TestAnswersAreCounted: the claim that no trap answered could fail.
func TestAnswersAreCounted(t *testing.T) {
	netlab.New(t)
	w, err := NewWorld(t.Context(), binary, portsnare.Port{Protocol: portsnare.TCP, Number: 39172}, fewTraps)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	rule := ec2fake.Rule{Protocol: "tcp", FromPort: 7, ToPort: 7, CIDR: portsnare.AnySource()[0]}
	if _, err := w.cloud.AddRule(w.cloud.group, rule); err != nil {
		t.Fatal(err)
	}
	if _, err := w.net.Scanner.Dial(t.Context(), "tcp", "", netlab.ServerAddr4.String()+":7"); err == nil {
		t.Fatal("something listens on 7/tcp")
	}
	if n, err := w.cloud.answers(t.Context()); err != nil || n != 1 {
		t.Errorf("%d answers, %v; want 1", n, err)
	}
	for _, r := range w.cloud.Rules(w.cloud.group) {
		if r.FromPort == 39172 {
			if err := w.cloud.RemoveRule(w.cloud.group, r.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if w.cloud.protectedGap() == 0 {
		t.Error("a protected port was closed and no gap counted")
	}
}

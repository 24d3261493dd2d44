package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

const (
	region      = ec2fake.DefaultRegion
	accessKeyID = ec2fake.DefaultAccessKeyID
	hostName    = "web-1"
	groupName   = "web"
	linkPort    = 4222
	publicPort  = 443

	// readyMessage is what the controller logs when it can be asked.
	readyMessage = "controller is ready"
)

// World is the stage: scanner, cloud and server, services on the server, and
// the product's own programs once they are started.
type World struct {
	net         *netlab.Topology
	cloud       *cloud
	binary      string // the product
	agentBinary string // what the server runs of it; the same unless a test sets it
	dir         string // configuration, states and homes
	hidden      portsnare.Port
	traps       string // the group's `traps`
	cloudKeys   string // further keys of the provider

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	controller, agent *process
}

// NewWorld builds the stage without the product: the cloud admits the hidden
// port and the public one, and the server serves them. The binary is run as
// `BINARY run`, `BINARY agent run` and so on; traps is what the configuration
// says of the group's. The caller must Close the world.
func NewWorld(ctx context.Context, binary string, hidden portsnare.Port, traps string) (*World, error) {
	if err := checkMachine(); err != nil {
		return nil, err
	}
	w := &World{binary: binary, agentBinary: binary, hidden: hidden, traps: traps, cloudKeys: shortCalls}
	w.ctx, w.cancel = context.WithCancel(ctx)
	if err := w.build(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// checkMachine says what this machine lacks before anything is made.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return &portsnare.Error{Kind: portsnare.Denied, Op: "make network namespaces", Err: errors.New("this needs root"),
			Hint: "run it as root: sudo portsnare demo"}
	}
	var missing []string
	for _, program := range []string{"nft", "ipset", "iptables-restore", "ip6tables-restore"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		return &portsnare.Error{Kind: portsnare.Unavailable, Op: "find programs", Subject: strings.Join(missing, ", "), Err: errors.New("not installed"),
			Hint: "apt-get install nftables ipset iptables"}
	}
	return nil
}

func (w *World) build() (err error) {
	if w.dir, err = os.MkdirTemp("", "portsnare-demo-"); err != nil {
		return err
	}
	if w.net, err = netlab.NewTopology(); err != nil {
		return err
	}
	services := portsnare.PortSetOf(w.hidden, portsnare.Port{Protocol: portsnare.TCP, Number: publicPort})
	cloud, endpoint, err := newCloud(w.ctx, w.net.Cloud, services)
	if err != nil {
		return err
	}
	w.cloud = cloud
	w.cloud.resetGap()
	w.tasks.Go(func() { w.cloud.Serve(w.ctx, endpoint) })
	for p := range services.All() {
		listener, err := w.net.Server.Listen("tcp", fmt.Sprintf("[::]:%d", p.Number))
		if err != nil {
			return err
		}
		w.tasks.Go(func() { serve(w.ctx, listener) })
	}
	return w.configure()
}

// manyTraps fills a security group, so that old openings become new ones in
// place; with fewTraps there is room for both at once.
const (
	manyTraps = "{neighbours: 8, bait: 10, secret: {openings: 30, ports: 6000}}"
	fewTraps  = "{neighbours: 4, bait: 4, secret: {openings: 10, ports: 2000}}"
)

// shortCalls keeps the grace short, which is longer than a call may take.
const shortCalls = ", timeout: 1s"

const configuration = `# Made by portsnare demo.
state: %[1]s
link:
  listen: %[2]s
  advertise: [%[2]s]
providers:
  cloud: {kind: aws, region: %[3]s%[10]s}
groups:
  %[4]s:
    provider: cloud
    firewall: %[5]s
    protect: [%[6]s]
    public: [%[7]d/tcp]
    hosts: [%[8]s]
    rotate: 12h        # the demo asks for each rotation itself
    grace: 2s
    traps: %[9]s
    policy: {strikes: 3, window: 1h, ban: 10m..24h}
`

func (w *World) configure() error {
	text := fmt.Sprintf(configuration, filepath.Join(w.dir, "controller"), netip.AddrPortFrom(netlab.GatewayAddr4, linkPort),
		region, groupName, w.cloud.group, w.hidden, publicPort, hostName, w.traps, w.cloudKeys)
	return os.WriteFile(w.config(), []byte(text), 0o600)
}

func (w *World) config() string   { return filepath.Join(w.dir, "portsnare.yaml") }
func (w *World) agentDir() string { return filepath.Join(w.dir, "agent") }

// Close stops everything, removes the namespaces and the folder, and returns
// when all of it is gone.
func (w *World) Close() error {
	w.cancel()
	for _, p := range []*process{w.agent, w.controller} {
		if p != nil {
			<-p.done
		}
	}
	w.tasks.Wait()
	var errs []error
	if w.net != nil {
		errs = append(errs, w.net.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// StartController runs the controller beside the cloud's endpoint and returns
// when it is ready.
func (w *World) StartController() (err error) {
	w.controller, err = start(w.ctx, w.net.Cloud, "controller", w.binary, environment(w.dir, w.cloud.endpoint), "run", "-c", w.config())
	if err != nil {
		return err
	}
	return w.controller.awaitLog(w.ctx, 0, readyMessage)
}

// Join enrols the server and has it join.
func (w *World) Join() error {
	token, err := w.Command(w.ctx, "enroll", hostName)
	if err != nil {
		return err
	}
	join := w.net.Server.Command(w.ctx, w.agentBinary, "agent", "join", strings.TrimSpace(string(token)), "--state", w.agentDir())
	join.Env = environment(w.dir, "")
	if output, err := join.CombinedOutput(); err != nil {
		return fmt.Errorf("join: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// StartAgent runs the agent on the server.
func (w *World) StartAgent() (err error) {
	w.agent, err = start(w.ctx, w.net.Server, "agent", w.agentBinary, environment(w.dir, ""), "agent", "run", "--state", w.agentDir())
	return err
}

// Command runs the operator's command line beside the controller and returns
// what it answers.
func (w *World) Command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := w.net.Cloud.Command(ctx, w.binary, append(args, "-c", w.config())...)
	cmd.Env = environment(w.dir, w.cloud.endpoint)
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("portsnare %s: %w", args[0], err)
	}
	return output, nil
}

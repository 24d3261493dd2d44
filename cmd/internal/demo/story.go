package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// MaxRotations is how many rotations there are addresses for: each scan has one
// of its own.
const MaxRotations = 60

// Options of [Run].
type Options struct {
	Binary    string    // the product; it is run again as controller and agent
	Rotations int       // 1 to MaxRotations
	Account   io.Writer // where the story is told while it happens
	Keep      bool      // leave the world running at the end until ctx ends
}

// Run plays the demo and returns what it showed. The error says what kept it
// from being played to its end; whether the claims held is in the summary.
func Run(ctx context.Context, o Options) (Summary, error) {
	began := time.Now()
	p := &play{Options: o, began: began}
	// Far from the ports that everybody knows, and from the ends.
	hidden := portsnare.Port{Protocol: portsnare.TCP, Number: uint16(20000 + rand.IntN(40000))}
	w, err := NewWorld(ctx, o.Binary, hidden, manyTraps)
	if err != nil {
		return Summary{}, err
	}
	p.World = w
	defer w.Close()
	if err := p.acts(ctx); err != nil {
		return Summary{}, err
	}
	p.summary.Seconds = time.Since(began).Seconds()
	if err := p.summary.print(o.Account); err != nil {
		return p.summary, err
	}
	if o.Keep {
		err = p.keep(ctx)
	}
	return p.summary, err
}

// play is one performance.
type play struct {
	Options
	*World
	began   time.Time
	summary Summary
	sources int // scan sources used so far

	mu sync.Mutex // guards Account
}

func (p *play) acts(ctx context.Context) error {
	p.summary.ProtectedPort = p.hidden.String()
	p.say("Three network namespaces on this machine, with nothing of its own touched:")
	p.say("")
	p.say("  scanner, client       cloud firewall           server")
	p.say("  %-16s ───▶ EC2 and nftables ───▶ %s", netlab.ScannerNet4, netlab.ServerAddr4)
	p.say("                        admits %-11s       hidden service on %s", p.hidden, p.hidden)
	p.say("                        and %d/tcp              web site on %d/tcp", publicPort, publicPort)
	for _, act := range []func(context.Context) error{p.without, p.start, p.with} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// say tells one line, with the time since the beginning.
func (p *play) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, line := cli.NewText(p.Account), fmt.Sprintf(format, args...)
	if line == "" {
		text.Line("")
		return
	}
	text.Line("%5.1fs  %s", time.Since(p.began).Seconds(), line)
}

// source returns an address of the scanner's network that no scan had before.
func (p *play) source() netip.Addr {
	p.sources++
	four := netlab.ScannerNet4.Addr().As4()
	four[3] = byte(10 + p.sources)
	return netip.AddrFrom4(four)
}

// without shows the world as it is: the scan finds the port.
func (p *play) without(ctx context.Context) error {
	p.say("")
	p.say("WITHOUT PORTSNARE the cloud admits the two services and nothing else.")
	scans, err := p.scanAll(ctx, 0, nil)
	if err != nil {
		return err
	}
	p.summary.ProtectedFoundWithout = true
	for _, s := range scans {
		p.summary.ProtectedFoundWithout = p.summary.ProtectedFoundWithout && s.ProtectedFound
	}
	return nil
}

// start brings the product on stage.
func (p *play) start(ctx context.Context) error {
	p.say("")
	p.say("PORTSNARE starts: the controller in the cloud, the agent on the server.")
	if err := p.StartController(); err != nil {
		return err
	}
	if err := p.Join(); err != nil {
		return err
	}
	p.say("portsnare enroll %s, portsnare-agent join TOKEN, portsnare-agent run", hostName)
	if err := p.StartAgent(); err != nil {
		return err
	}
	if err := p.controller.awaitLog(p.ctx, 0, "msg=rotated"); err != nil {
		return err
	}
	return p.tellGeneration(ctx)
}

// with rotates while scans and an innocent client go on.
func (p *play) with(ctx context.Context) error {
	innocent := p.newClient()
	p.say("an innocent client connects to %s every %s from now on, over IPv4 and IPv6", p.hidden, clientPause)
	clientCtx, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { innocent.run(clientCtx) })
	defer tasks.Wait()
	defer stop()

	for round := 1; round <= p.Rotations; round++ {
		p.say("")
		p.say("ROTATION %d, while the scanner tries again from new addresses.", round)
		if _, err := p.scanAll(ctx, round, p.rotate); err != nil {
			return err
		}
		p.summary.Rotations++
	}
	stop()
	tasks.Wait()
	return p.settle(ctx, innocent)
}

// rotate asks the controller for a rotation and tells what it came to.
func (p *play) rotate(ctx context.Context) error {
	if _, err := p.Command(ctx, "rotate", groupName); err != nil {
		return err
	}
	return p.tellGeneration(ctx)
}

func (p *play) tellGeneration(ctx context.Context) error {
	status, err := p.status(ctx)
	if err != nil {
		return err
	}
	p.say("generation %d: %d openings, %d traps, armed on the server before the cloud opened them",
		status.Generation, status.Openings, status.Traps)
	return nil
}

// groupStatus is the part of `portsnare status --json` that the story tells.
type groupStatus struct {
	Generation, Openings, Traps int
}

func (p *play) status(ctx context.Context) (groupStatus, error) {
	var answer struct{ Groups []groupStatus }
	output, err := p.Command(ctx, "status", "--json")
	if err == nil {
		err = json.Unmarshal(output, &answer)
	}
	if err == nil && len(answer.Groups) != 1 {
		err = fmt.Errorf("status tells of %d groups, want 1", len(answer.Groups))
	}
	if err != nil {
		return groupStatus{}, err
	}
	return answer.Groups[0], nil
}

// scanAll runs every scanner at once, and meanwhile, if it is not nil, then
// collects who was banned.
func (p *play) scanAll(ctx context.Context, round int, meanwhile func(context.Context) error) ([]Scan, error) {
	all := slices.DeleteFunc(scanners(), func(s scanner) bool { return round > 0 && s.round > 0 && s.round != round })
	scans, errs := make([]Scan, len(all)), make([]error, len(all)+1)
	var tasks sync.WaitGroup
	for i, s := range all {
		source := p.source()
		tasks.Go(func() { scans[i], errs[i] = p.scan(ctx, s, round, source) })
	}
	if meanwhile != nil {
		errs[len(all)] = meanwhile(ctx)
	}
	tasks.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if meanwhile != nil {
		bans, err := p.bans(ctx)
		if err != nil {
			return nil, err
		}
		for i := range scans {
			scans[i].convict(bans)
		}
	}
	for _, s := range scans {
		p.say("%s", s.tell(p.hidden))
	}
	p.summary.Scans = append(p.summary.Scans, scans...)
	return scans, nil
}

func (p *play) bans(ctx context.Context) ([]portsnare.Ban, error) {
	output, err := p.Command(ctx, "bans", "--json")
	if err != nil {
		return nil, err
	}
	var answer struct{ Bans []portsnare.Ban }
	return answer.Bans, json.Unmarshal(output, &answer)
}

// settle counts what has happened in all.
func (p *play) settle(ctx context.Context, innocent *client) error {
	var err error
	if p.summary.TrapAnswers, err = p.cloud.answers(ctx); err != nil {
		return err
	}
	connections, failures := innocent.tally()
	p.summary.ClientConnections, p.summary.ClientFailures = connections, len(failures)
	for _, failure := range failures[:min(3, len(failures))] {
		p.say("the client failed: %v", failure)
	}
	p.summary.CloudProtectedGapMS = p.cloud.protectedGap().Milliseconds()
	for _, s := range p.summary.Scans {
		p.summary.ProtectedFoundWith = p.summary.ProtectedFoundWith || s.Round > 0 && s.ProtectedFound
	}
	return nil
}

const keepMessage = "Everything keeps running until you interrupt it."

// keep leaves everything running and says how to look around.
func (p *play) keep(ctx context.Context) error {
	namespaces := []*netlab.Namespace{p.net.Scanner, p.net.Cloud, p.net.Server}
	for _, ns := range namespaces {
		if err := ns.Pin(); err != nil {
			return err
		}
		defer ns.Unpin()
	}
	text := cli.NewText(p.Account)
	text.Line("%s Look around from another terminal:", keepMessage)
	text.Line("  ip netns exec %s ipset list", p.net.Server.Name)
	text.Line("  ip netns exec %s nft list chain inet cloud admit", p.net.Cloud.Name)
	text.Line("  ip netns exec %s nmap -Pn %s", p.net.Scanner.Name, netlab.ServerAddr4)
	if text.Err() == nil {
		<-ctx.Done()
	}
	return text.Err()
}

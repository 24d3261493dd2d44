package packaging

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/kerneltest"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// host is a server with rules of its own: a network namespace for its kernel,
// and a folder for its files. There is no systemd on it.
type host struct {
	t    *testing.T
	ns   *netlab.Namespace
	root string
}

// newHost makes a host that ufw, firewalld, Docker and others use already.
func newHost(t *testing.T) *host {
	t.Helper()
	need(t, "ipset", "iptables", "nft")
	h := &host{t: t, ns: netlab.New(t).Namespace("host"), root: t.TempDir()}
	h.check(kerneltest.Foreign(h.soon(), h.ns))
	for _, folder := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		h.check(os.MkdirAll(h.path(folder), 0o755))
	}
	h.check(os.WriteFile(h.path("var/lib/dpkg/status"), nil, 0o644))
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.root, name) }

func (h *host) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// soon returns a context for what takes no time unless something is wrong.
func (h *host) soon() context.Context {
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	h.t.Cleanup(cancel)
	return ctx
}

// run runs a program on the host and returns all that it says.
func (h *host) run(program string, args ...string) (string, error) {
	cmd := h.ns.Command(h.soon(), program, args...)
	cmd.Env = append(os.Environ(), "DPKG_ROOT="+h.root)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func (h *host) mustRun(program string, args ...string) string {
	h.t.Helper()
	out, err := h.run(program, args...)
	h.check(err)
	return out
}

// dpkg runs the real one on the host's files. There is no other package among
// them, and no shell, so dependencies are forced and scripts are run from here.
func (h *host) dpkg(args ...string) {
	h.t.Helper()
	h.mustRun("dpkg", append([]string{
		"--root=" + h.root, "--log=" + h.path("dpkg.log"), "--force-script-chrootless", "--force-depends",
	}, args...)...)
}

// prerm runs the script of the installed package as dpkg does.
func (h *host) prerm(args ...string) error {
	_, err := h.run(h.path("var/lib/dpkg/info/portsnare-agent.prerm"), args...)
	return err
}

// kernel returns all that somebody could find of us in the kernel, by where he
// finds it. Comments are left out, as they hold the time.
func (h *host) kernel() map[string]string {
	h.t.Helper()
	parameters, err := h.ns.Parameters("/proc/sys/net")
	h.check(err)
	found := map[string]string{"parameters of net": parameters}
	for _, command := range []string{"ipset save", "iptables-save", "ip6tables-save", "nft list ruleset"} {
		words := strings.Fields(command)
		var b strings.Builder
		for line := range strings.Lines(h.mustRun(words[0], words[1:]...)) {
			if !strings.HasPrefix(line, "#") {
				b.WriteString(line)
			}
		}
		found[command] = b.String()
	}
	return found
}

const stateDir = "var/lib/portsnare-agent"

// join makes the host one that has an order, with a source shut out.
func (h *host) join(banned netip.Prefix) {
	h.t.Helper()
	h.check(hostagent.SaveToken(h.path(stateDir), h.token()))
	traps, err := portsnare.ParsePortSet("1001-1200/tcp,1001-1200/udp")
	h.check(err)
	for name, value := range map[string]any{
		"order.json": portsnare.Order{
			Host: "web-1", Group: "web", Generation: 7, Traps: portsnare.Traps{Secret: traps},
			Policy: portsnare.DefaultPolicy(), CloudFirewall: true,
		},
		"bans.json": []portsnare.Ban{{Source: banned, Until: time.Now().Add(time.Hour)}},
	} {
		text, err := json.Marshal(value)
		h.check(err)
		h.check(os.WriteFile(filepath.Join(h.path(stateDir), name), text, 0o600))
	}
}

// token returns one of a controller that is out of reach.
func (h *host) token() portsnare.Token {
	h.t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	h.check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	ca, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	h.check(err)
	user, err := nkeys.CreateUser()
	h.check(err)
	seed, err := user.Seed()
	h.check(err)
	return portsnare.Token{Host: "web-1", URLs: []string{"tls://192.0.2.1:4222"}, CA: ca, Seed: string(seed)}
}

// start starts the installed agent and returns once it has armed its order.
func (h *host) start(backend string) (stop func()) {
	h.t.Helper()
	cmd := h.ns.Command(h.soon(), h.path("usr/bin/portsnare-agent"), "--state", h.path(stateDir), "run", "--backend", backend)
	log, err := cmd.StderrPipe()
	h.check(err)
	h.check(cmd.Start())
	var said strings.Builder
	lines := bufio.NewScanner(io.TeeReader(log, &said))
	for !strings.Contains(lines.Text(), "order armed") {
		if !lines.Scan() {
			h.t.Fatalf("the agent did not arm: %v\n%s", errors.Join(lines.Err(), cmd.Wait()), said.String())
		}
	}
	return func() {
		h.t.Helper()
		h.check(cmd.Process.Signal(syscall.SIGTERM))
		_, err := io.Copy(io.Discard, log)
		h.check(err)
		// As every command that a signal ends; the unit takes it for success.
		if exit, _ := errors.AsType[*exec.ExitError](cmd.Wait()); exit == nil || exit.ExitCode() != 1 {
			h.t.Fatalf("the agent ended with %v", cmd.ProcessState)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/rotator/hub"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

// patience is how long a command may take to end after a signal: a second, and one
// more where this machine is busy.
const patience = 2 * time.Second

// slowly is how to run a command so that it does not end by itself, and how it is
// known to have come so far.
type slowly struct {
	args string // words; $NAME are of the stage
	wait func(*stage) error
	// isolated runs it in a network of its own, which it may program.
	isolated bool
}

// slowForms are those of every command, by its path below the program.
var slowForms = map[string]slowly{
	"demo":     {args: "demo", wait: (*stage).toldSomething, isolated: true},
	"init":     {args: "init --stdout", wait: (*stage).isPrinting},
	"check":    {args: "check --online -c $CONFIG", wait: (*stage).hasCalled},
	"plan":     {args: "plan -c $CONFIG", wait: (*stage).hasCalled},
	"run":      {args: "run -c $CONFIG", wait: (*stage).hasCalled},
	"simulate": {args: "simulate -c $SLOW --runs 100000000 --plots plots", wait: (*stage).hasRead},
	"rotate":   {args: "rotate -c $CONFIG", wait: (*stage).hasCalled},
	"status":   {args: "status -c $CONFIG", wait: (*stage).hasCalled},
	"bans":     {args: "bans -c $CONFIG", wait: (*stage).hasCalled},
	"enroll":   {args: "enroll web-1 -c $CONFIG", wait: (*stage).hasCalled},
	"expel":    {args: "expel web-1 -c $CONFIG", wait: (*stage).hasCalled},
	"version":  {args: "version", wait: (*stage).isPrinting},
	"help":     {args: "help", wait: (*stage).isPrinting},

	"completion bash":       {args: "completion bash", wait: (*stage).isPrinting},
	"completion zsh":        {args: "completion zsh", wait: (*stage).isPrinting},
	"completion fish":       {args: "completion fish", wait: (*stage).isPrinting},
	"completion powershell": {args: "completion powershell", wait: (*stage).isPrinting},

	"agent join":    {args: "agent join - --state agent", wait: (*stage).isReading},
	"agent run":     {args: "agent run --state $TOKEN", wait: (*stage).hasRead, isolated: true},
	"agent status":  {args: "agent status --state $TOKEN", wait: (*stage).hasRead, isolated: true},
	"agent flush":   {args: "agent flush", wait: (*stage).isPrinting, isolated: true},
	"agent version": {args: "agent version", wait: (*stage).isPrinting},
}

// paths returns every command of the program that can be run, hidden ones and those
// of the library included.
func paths(t *testing.T) []string {
	t.Helper()
	root := newRoot()
	cli.Run(t.Context(), root, []string{"version"}, cli.IO{Out: io.Discard, Err: io.Discard}) // which completes the tree
	var all []string
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if path := strings.TrimPrefix(c.CommandPath(), root.Name()+" "); c.Runnable() && !c.HasSubCommands() {
			all = append(all, path)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return all
}

// TestSignals: every command there is, in its slowest form, ends within a second of
// SIGINT or SIGTERM, at once after a second one, with another code than 0 and no file
// left behind. SIGHUP ends none, and those that run until they are stopped log it.
func TestSignals(t *testing.T) {
	all := paths(t)
	for path := range slowForms {
		if !slices.Contains(all, path) {
			t.Errorf("there is no command %q any more", path)
		}
	}
	for _, path := range all {
		form, ok := slowForms[path]
		if !ok {
			t.Errorf("%q: want a form of this command that does not end by itself", path)
			continue
		}
		for _, signals := range [][]os.Signal{
			{syscall.SIGINT}, {syscall.SIGTERM}, {syscall.SIGHUP, syscall.SIGTERM}, {syscall.SIGINT, syscall.SIGINT},
		} {
			t.Run(fmt.Sprint(path, signals), func(t *testing.T) {
				t.Parallel()
				interrupt(t, form, signals)
			})
		}
	}
}

func interrupt(t *testing.T, form slowly, signals []os.Signal) {
	s := newStage(t)
	s.start(form)
	if err := form.wait(s); err != nil {
		t.Fatalf("it never came so far: %v\n%s", err, s.stderr.String())
	}
	began := time.Now()
	for _, sent := range signals {
		if err := s.cmd.Process.Signal(sent); err != nil {
			t.Fatal(err)
		}
	}
	err := s.cmd.Wait()
	if took := time.Since(began); took > patience {
		t.Errorf("it took %s to end", took)
	}
	exit, _ := errors.AsType[*exec.ExitError](err)
	if exit == nil || exit.ExitCode() < 1 {
		t.Errorf("it ended with %v: want a code above 0\n%s", err, s.stderr.String())
	}
	if !strings.Contains(s.stderr.String(), "interrupted") {
		t.Errorf("it said\n%s", s.stderr.String())
	}
	for _, dir := range []string{s.dir, s.temporary} {
		if left := s.files(dir); !slices.Equal(left, s.before[dir]) {
			t.Errorf("it left %q in %s: want %q", left, dir, s.before[dir])
		}
	}
}

// stage is where one command runs.
type stage struct {
	*testing.T
	ctx            context.Context
	dir, temporary string
	before         map[string][]string // files in these
	env            []string
	called         chan struct{} // closed when the silent cloud or controller was called
	fifo           string        // that is read and never ends
	cmd            *exec.Cmd
	stdout         *os.File // what the command prints, for us to read
	printed        *os.File // where it prints
	stderr         bytes.Buffer
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s := &stage{T: t, ctx: ctx, dir: t.TempDir(), temporary: t.TempDir(), before: map[string][]string{}, called: make(chan struct{})}
	silent := s.listen()
	s.env = append(os.Environ(), "TMPDIR="+s.temporary, "AWS_ENDPOINT_URL_EC2=http://"+silent, "AWS_ACCESS_KEY_ID=AKIAEXAMPLE0000000000",
		"AWS_SECRET_ACCESS_KEY=x", "AWS_EC2_METADATA_DISABLED=true", "PORTSNARE_CONFIG=")
	config := filepath.Join(t.TempDir(), "portsnare.yaml")
	state := s.state(silent)
	text := fmt.Sprintf("state: %s\nproviders: {tokyo: {kind: aws, region: ap-northeast-1}}\n"+
		"groups: {web: {provider: tokyo, firewall: sg-12345678, protect: [8443/tcp], hosts: [web-1]}}\n", state)
	s.must(os.WriteFile(config, []byte(text), 0o600))
	s.fifo = filepath.Join(t.TempDir(), "token")
	s.must(unix.Mkfifo(s.fifo, 0o600))
	s.env = append(s.env, "CONFIG="+config, "SLOW="+s.fifo, "TOKEN="+filepath.Dir(s.fifo))
	return s
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// listen returns the address of somebody who takes calls and says nothing.
func (s *stage) listen() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	s.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			close(s.called)
			<-s.ctx.Done()
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

// state returns the state directory of a controller that says nothing.
func (s *stage) state(silent string) string {
	files, err := identity()
	s.must(err)
	const where = "hub.url"
	if files[where] == nil {
		s.Fatalf("no file says where the controller is")
	}
	dir := s.TempDir()
	for name, text := range files {
		s.must(os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	s.must(embedded.WriteSealed(filepath.Join(dir, where), []byte("tls://"+silent+"\n")))
	return dir
}

// identity returns the files by which an operator reaches a controller.
var identity = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "portsnare-state-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	h, err := hub.Open(context.Background(), hub.Options{Dir: dir, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	h.Close()
	entries, err := os.ReadDir(dir)
	files := map[string][]byte{}
	for _, e := range entries {
		if text, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil { // no folder
			files[e.Name()] = text
		}
	}
	return files, err
})

func (s *stage) files(dir string) []string {
	var names []string
	s.must(filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	}))
	return names
}

// start starts the program with nobody who reads what it prints, or types.
func (s *stage) start(form slowly) {
	s.Helper()
	s.cmd = s.program(form.args)
	s.cmd.Stderr = &s.stderr
	_, err := s.cmd.StdinPipe()
	s.must(err)
	s.stdout, s.printed, err = os.Pipe()
	s.must(err)
	s.Cleanup(func() { s.stdout.Close(); s.printed.Close() })
	s.cmd.Stdout = s.printed
	if form.args != "demo" { // which has to print to be known
		s.fill()
	}
	if form.isolated {
		isolate(s.cmd)
	}
	for _, dir := range []string{s.dir, s.temporary} {
		s.before[dir] = s.files(dir)
	}
	s.must(s.cmd.Start())
}

// program returns the program with these words, in which $NAME is of the stage.
func (s *stage) program(words string) *exec.Cmd {
	lookup := func(name string) string {
		for _, pair := range slices.Backward(s.env) {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
	var args []string
	for word := range strings.FieldsSeq(words) {
		args = append(args, os.Expand(word, lookup))
	}
	cmd := exec.CommandContext(s.ctx, "portsnare", args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// isolate gives a program a network of its own, which it may program.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

// fill fills the pipe into which the command prints.
func (s *stage) fill() {
	s.Helper()
	fd := int(s.printed.Fd()) // which makes it block
	s.must(unix.SetNonblock(fd, true))
	var err error
	for err == nil {
		_, err = unix.Write(fd, make([]byte, 4096))
	}
	if !errors.Is(err, unix.EAGAIN) {
		s.Fatal(err)
	}
	s.must(unix.SetNonblock(fd, false))
}

// hasCalled waits until the command has called a cloud or a controller.
func (s *stage) hasCalled() error { return s.await(s.called) }

// hasRead waits until the command has read a file that never ends, or, of a
// configuration, one that has.
func (s *stage) hasRead() error {
	opened := make(chan struct{})
	var f *os.File
	var err error
	go func() {
		defer close(opened)
		f, err = os.OpenFile(s.fifo, os.O_WRONLY, 0) // which waits for a reader
	}()
	if err := s.await(opened); err != nil {
		return err
	}
	s.must(err)
	if s.cmd.Args[1] != "simulate" {
		s.Cleanup(func() { f.Close() })
		return nil
	}
	_, err = io.WriteString(f, "providers: {bare: {kind: none}}\ngroups: {web: {provider: bare, protect: [8443/tcp], hosts: [web-1]}}\n")
	return errors.Join(err, f.Close())
}

// toldSomething waits for the first line that the command prints.
func (s *stage) toldSomething() error {
	told := make(chan struct{})
	go func() {
		defer close(told)
		s.stdout.Read(make([]byte, 1)) //nolint:errcheck // the test looks for the end of it
		go io.Copy(io.Discard, s.stdout)
	}()
	return s.await(told)
}

func (s *stage) await(event <-chan struct{}) error {
	select {
	case <-event:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// isPrinting waits until the command hangs in writing to its standard output, and
// isReading until it does in reading its standard input.
func (s *stage) isPrinting() error { return s.hangsIn(fmt.Sprintf("%d 0x1 ", unix.SYS_WRITE)) }
func (s *stage) isReading() error  { return s.hangsIn(fmt.Sprintf("%d 0x0 ", unix.SYS_READ)) }

// hangsIn waits until a thread of the command is in a call of the system. Nothing
// but looking tells when.
func (s *stage) hangsIn(call string) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", s.cmd.Process.Pid))
		if err != nil {
			return err
		}
		for _, thread := range threads {
			if now, err := os.ReadFile(thread); err == nil && strings.HasPrefix(string(now), call) {
				return nil
			}
		}
		select {
		case <-look.C:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// TestHangupIsLogged: the controller says that it did not reload, once a signal.
func TestHangupIsLogged(t *testing.T) {
	s := newStage(t)
	s.start(slowForms["run"])
	s.must(s.hasCalled())
	s.must(s.cmd.Process.Signal(syscall.SIGHUP))
	s.must(s.cmd.Process.Signal(syscall.SIGTERM))
	s.cmd.Wait() //nolint:errcheck // TestSignals looks at it
	if n := strings.Count(s.stderr.String(), "ignored SIGHUP"); n != 1 {
		t.Errorf("%d lines about SIGHUP in\n%s", n, s.stderr.String())
	}
}

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// stopTime is how long a program of the product may take to stop by itself: half of
// the time in which a command has to end after a signal, so that the rest suffices to
// remove the folder and the namespaces.
const stopTime = 350 * time.Millisecond

// process is a program of the product that runs in a namespace, and what it
// has logged.
type process struct {
	name string
	cmd  *netlab.Cmd
	log  *logBuffer
	done chan struct{} // closed when it has ended
	err  error         // how; valid once done is closed
}

// start runs the product's binary in ns with nothing but env in its environment.
func start(ctx context.Context, ns *netlab.Namespace, name, binary string, env []string, args ...string) (*process, error) {
	p := &process{name: name, cmd: ns.Command(ctx, binary, args...), log: new(logBuffer), done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopTime
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		p.log.close()
		close(p.done)
	}()
	return p, nil
}

// kill ends the process as a power failure does, and returns when it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// awaitLog returns when a line with all of the words has been logged from the
// given offset on; it fails when the process or ctx ends first.
func (p *process) awaitLog(ctx context.Context, offset int, words ...string) error {
	if err := p.log.await(ctx, offset, words); err != nil {
		return fmt.Errorf("%s: %w; its last words:\n%s", p.name, err, p.log.tail(10))
	}
	return nil
}

// logBuffer keeps what a process writes and wakes those who wait for a line.
type logBuffer struct {
	mu     sync.Mutex
	text   bytes.Buffer
	ended  bool
	wakeup chan struct{} // closed at the next change; nil if nobody waits
}

var errEnded = errors.New("ended")

// Write implements io.Writer.
func (b *logBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake()
	return b.text.Write(text)
}

func (b *logBuffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.wake()
}

func (b *logBuffer) wake() {
	if b.wakeup != nil {
		close(b.wakeup)
		b.wakeup = nil
	}
}

// len returns the offset of what will be written next.
func (b *logBuffer) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Len()
}

func (b *logBuffer) await(ctx context.Context, offset int, words []string) error {
	for {
		b.mu.Lock()
		found, ended := hasLine(b.text.Bytes()[offset:], words), b.ended
		if b.wakeup == nil {
			b.wakeup = make(chan struct{})
		}
		wakeup := b.wakeup
		b.mu.Unlock()
		switch {
		case found:
			return nil
		case ended:
			return errEnded
		}
		select {
		case <-wakeup:
		case <-ctx.Done():
			return fmt.Errorf("no line with %q: %w", words, ctx.Err())
		}
	}
}

func hasLine(text []byte, words []string) bool {
lines:
	for line := range strings.Lines(string(text)) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return true
	}
	return false
}

// tail returns the last n lines.
func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(b.text.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// environment returns the little that a program of the product needs to know.
func environment(home, endpoint string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin",
		"HOME=" + home,
		"AWS_ACCESS_KEY_ID=" + accessKeyID,
		"AWS_SECRET_ACCESS_KEY=not-a-secret",
		"AWS_ENDPOINT_URL_EC2=" + endpoint,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

//go:build linux

package netlab

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The main thread never ends, so a namespace it lived in would stay, and the
// programs it started too.
func TestOwnThreadIsNeverTheMainOne(t *testing.T) {
	const n = 200
	ids := make(chan int, n)
	release := make(chan struct{})
	for range n {
		onOwnThread(func() {
			ids <- unix.Gettid()
			<-release
		})
	}
	defer close(release)
	seen := map[int]bool{os.Getpid(): true}
	for range n {
		id := <-ids
		if seen[id] {
			t.Fatalf("thread %d is the main one or shared", id)
		}
		seen[id] = true
	}
}

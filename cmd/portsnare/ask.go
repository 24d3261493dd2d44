package main

import (
	"context"
	"time"

	"github.com/portsnare/portsnare/rotator/hub"
)

// How long the command line waits for an answer, whatever the controller does. A
// controller that does not even say that it is at work is given up much earlier.
const (
	askTime    = 2 * time.Minute
	rotateTime = time.Hour // of all groups: each has report_timeout, grace and the calls to its cloud
)

// ask asks the running controller of this machine for verb. in and out are
// JSON values; either may be nil.
func (a *app) ask(ctx context.Context, verb string, in, out any) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	wait := askTime
	if verb == verbRotate {
		wait = rotateTime
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	client, err := hub.Dial(ctx, hub.ClientOptions{Dir: cfg.State})
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Request(ctx, verb, in, out)
}

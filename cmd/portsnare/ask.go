package main

import (
	"context"

	"github.com/portsnare/portsnare/rotator/hub"
)

// ask asks the running controller of this machine for verb. in and out are
// JSON values; either may be nil.
func (a *app) ask(ctx context.Context, verb string, in, out any) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	client, err := hub.Dial(ctx, hub.ClientOptions{Dir: cfg.State})
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Request(ctx, verb, in, out)
}

package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/rotator"
	"github.com/portsnare/portsnare/rotator/hub"
)

// Verbs that the command line asks the controller for.
const (
	verbStatus = "status"
	verbRotate = "rotate"
	verbBans   = "bans"
	verbEnroll = "enroll"
	verbExpel  = "expel"
)

type (
	statusAnswer struct {
		Version  string           `json:"version"`
		Groups   []rotator.Status `json:"groups"`
		Enrolled []string         `json:"enrolled"` // hosts with a credential, or with a token
		// Problems are the controller's own, such as a full disk.
		Problems []problemAnswer `json:"problems,omitempty"`
	}
	problemAnswer struct {
		Text string `json:"text"`
		Hint string `json:"hint,omitempty"`
	}
	rotateRequest struct {
		Group string `json:"group"` // "" for all
	}
	rotateAnswer struct {
		Groups []rotator.Status `json:"groups"`
	}
	bansAnswer    struct{ hub.Bans }
	enrollRequest struct {
		Host  string        `json:"host"`
		Renew bool          `json:"renew"`
		Valid time.Duration `json:"valid"` // of the token
	}
	enrollAnswer struct {
		Token string `json:"token"`
	}
	expelRequest struct {
		Host string `json:"host"`
	}
)

// problemsEvery is how often the controller's own problems are counted for the
// metric, which has to show one as fast as a host that is missing.
const problemsEvery = 5 * time.Second

// countProblems keeps the metric of the controller's own problems until ctx ends.
func (c *controller) countProblems(ctx context.Context) error {
	tick := time.NewTicker(problemsEvery)
	defer tick.Stop()
	for {
		c.metrics.Problems(len(c.hub.Problems()))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// serve answers the command line until the hub is closed.
func (c *controller) serve() error {
	return errors.Join(
		hub.Serve(c.hub, verbStatus, c.status),
		hub.Serve(c.hub, verbRotate, c.rotate),
		hub.Serve(c.hub, verbBans, c.bans),
		hub.Serve(c.hub, verbEnroll, c.enroll),
		hub.Serve(c.hub, verbExpel, c.expel),
	)
}

func (c *controller) status(context.Context, struct{}) (statusAnswer, error) {
	answer := statusAnswer{Version: cli.Version(), Enrolled: c.hub.Hosts()}
	for _, name := range c.names {
		answer.Groups = append(answer.Groups, c.rotators[name].Status())
	}
	for _, retired := range c.retired {
		answer.Groups = append(answer.Groups, retired.Status())
	}
	for _, problem := range c.hub.Problems() {
		answer.Problems = append(answer.Problems, problemAnswer{problem.Error(), portsnare.HintOf(problem)})
	}
	return answer, nil
}

func (c *controller) rotate(ctx context.Context, asked rotateRequest) (rotateAnswer, error) {
	var answer rotateAnswer
	names := c.names
	if asked.Group != "" {
		if c.rotators[asked.Group] == nil {
			return answer, unknown("group", asked.Group, c.names)
		}
		names = []string{asked.Group}
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, c.rotators[name].Rotate(ctx))
		answer.Groups = append(answer.Groups, c.rotators[name].Status())
	}
	return answer, errors.Join(errs...)
}

func (c *controller) bans(context.Context, struct{}) (hub.Bans, error) { return c.hub.Bans(), nil }

func (c *controller) enroll(ctx context.Context, asked enrollRequest) (enrollAnswer, error) {
	if !c.hosts[asked.Host] {
		return enrollAnswer{}, unknown("host", asked.Host, keys(c.hosts))
	}
	token, err := c.hub.EnrollFor(ctx, asked.Host, asked.Renew, asked.Valid)
	if err != nil {
		return enrollAnswer{}, err
	}
	return enrollAnswer{Token: token.String()}, nil
}

func (c *controller) expel(ctx context.Context, asked expelRequest) (struct{}, error) {
	return struct{}{}, c.hub.Expel(ctx, asked.Host)
}

func unknown(what, name string, known []string) error {
	return &portsnare.Error{
		Kind: portsnare.NotFound, Op: "find " + what, Subject: name,
		Err:  errors.New("the running controller's configuration has no such " + what),
		Hint: "it has " + strings.Join(known, ", ") + "; after a change restart `portsnare run`",
	}
}

func keys(m map[string]bool) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

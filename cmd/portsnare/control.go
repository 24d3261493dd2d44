package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/rotator"
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
		Enrolled []string         `json:"enrolled"` // hosts with a credential
	}
	rotateRequest struct {
		Group string `json:"group"` // "" for all
	}
	rotateAnswer struct {
		Groups []rotator.Status `json:"groups"`
	}
	bansAnswer struct {
		Bans []portsnare.Ban `json:"bans"`
	}
	enrollRequest struct {
		Host  string `json:"host"`
		Renew bool   `json:"renew"`
	}
	enrollAnswer struct {
		Token string `json:"token"`
	}
	expelRequest struct {
		Host string `json:"host"`
	}
)

// serve answers the command line until the hub is closed.
func (c *controller) serve() error {
	return errors.Join(
		c.hub.Serve(verbStatus, c.status),
		c.hub.Serve(verbRotate, c.rotate),
		c.hub.Serve(verbBans, c.bans),
		c.hub.Serve(verbEnroll, c.enroll),
		c.hub.Serve(verbExpel, c.expel),
	)
}

func (c *controller) status(context.Context, []byte) (any, error) {
	answer := statusAnswer{Version: cli.Version(), Enrolled: c.hub.Hosts()}
	for _, name := range c.names {
		answer.Groups = append(answer.Groups, c.rotators[name].Status())
	}
	return answer, nil
}

func (c *controller) rotate(ctx context.Context, request []byte) (any, error) {
	var asked rotateRequest
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, err
	}
	names := c.names
	if asked.Group != "" {
		if c.rotators[asked.Group] == nil {
			return nil, unknown("group", asked.Group, c.names)
		}
		names = []string{asked.Group}
	}
	var answer rotateAnswer
	var errs []error
	for _, name := range names {
		errs = append(errs, c.rotators[name].Rotate(ctx))
		answer.Groups = append(answer.Groups, c.rotators[name].Status())
	}
	return answer, errors.Join(errs...)
}

func (c *controller) bans(ctx context.Context, _ []byte) (any, error) {
	bans, err := c.hub.Bans(ctx)
	return bansAnswer{Bans: bans}, err
}

func (c *controller) enroll(ctx context.Context, request []byte) (any, error) {
	var asked enrollRequest
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, err
	}
	if !c.hosts[asked.Host] {
		return nil, unknown("host", asked.Host, keys(c.hosts))
	}
	token, err := c.hub.Enroll(ctx, asked.Host, asked.Renew)
	if err != nil {
		return nil, err
	}
	return enrollAnswer{Token: token.String()}, nil
}

func (c *controller) expel(ctx context.Context, request []byte) (any, error) {
	var asked expelRequest
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, err
	}
	return nil, c.hub.Expel(ctx, asked.Host)
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

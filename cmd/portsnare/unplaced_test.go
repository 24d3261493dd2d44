package main

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/rotator/hub"
)

// TestGroupRemovedWithTheUpgrade: the first version has left the state of a group that
// is not configured any more. Its hosts keep their order, and the controller shows the
// group with what to do.
func TestGroupRemovedWithTheUpgrade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	old, err := hub.Open(t.Context(), hub.Options{Dir: dir, Listen: "127.0.0.1:0", Advertise: []string{"127.0.0.1"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	order := portsnare.Order{Serial: "s", Host: "web-1", Group: "web", Generation: 7, Policy: portsnare.DefaultPolicy(),
		Traps: portsnare.Traps{Secret: portsnare.NewPortSet(rule(t, "9000/tcp", "").Opening.Range)}}
	_, enrollErr := old.Enroll(t.Context(), "web-1", false)
	_, putErr := old.Put(t.Context(), "group.web", []byte(`{"current":{"generation":7,"secret":"9000/tcp"}}`), 0)
	if err := errors.Join(enrollErr, putErr, old.Send(t.Context(), order), old.Close()); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("portsnare.yaml", []byte("state: "+dir+`
owner: tokyo
link: {advertise: [127.0.0.1]}
providers: {bare: {kind: none}}
groups: {db: {provider: bare, protect: [8443/tcp], hosts: [db-1]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Link.Listen = "127.0.0.1:0"
	c, err := newController(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer c.hub.Close()
	if len(c.retired) != 1 {
		t.Fatalf("%d retired groups, want 1", len(c.retired))
	}
	if err := c.retired[0].Rotate(t.Context()); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("the group is withdrawn: %v", err)
	}
	answer, err := c.status(t.Context(), struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if g := answer.Groups[1]; g.Group != "web" || !g.Retired || !strings.Contains(g.Problem, "nobody knows in which firewall") || !strings.Contains(g.Hint, "put group web back") || len(g.Hosts) != 1 {
		t.Errorf("status %+v", g)
	}
	if got, err := c.hub.Order(t.Context(), "web-1"); err != nil || got.Serial != "s" {
		t.Errorf("the order of web-1 was replaced: %+v, %v", got, err)
	}
}

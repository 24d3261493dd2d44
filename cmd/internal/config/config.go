// Package config reads the controller's configuration: YAML text in, values of
// the domain out, or every problem at once, each with the line it is on.
//
// What the keys are, what they take, what they default to and what they mean
// is stated once, in the tables of keys.go; reading, messages and the reference
// documentation all follow those tables. Secrets have no place in the file, and
// reading it looks at nothing else: neither environment, network nor kernel.
package config

import (
	"bytes"
	_ "embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/clouds"
	"github.com/portsnare/portsnare/rotator/placement"
)

// DefaultPath is where the configuration is unless somebody says otherwise.
const DefaultPath = "/etc/portsnare/portsnare.yaml"

// example is a commented configuration to start from, valid but for the values of
// placeholder.go.
//
//go:embed example.yaml
var example []byte

// NewExample returns a commented configuration to start from. It has an owner;
// [Parse] names each of its other values that must be replaced.
func NewExample(owner string) []byte {
	return bytes.Replace(example, []byte(exampleOwner), []byte(owner), 1)
}

// Config is the whole configuration of a controller, defaults filled in.
type Config struct {
	Owner     string     // of the rules in the clouds, a name; "" for one that follows from the machine
	State     string     // absolute path of the controller's state directory
	Link      Link       // where agents reach the controller
	Metrics   string     // host:port on which metrics are served; "" for not at all
	Log       Log        // what is logged, and how
	Providers []Provider // in the order of the file, at least one
	Groups    []Group    // in the order of the file, at least one
	Warnings  Problems   // what is allowed and probably not meant, in the order of the file
}

// Link is where agents reach the controller.
type Link struct {
	Listen    string   // host:port, the host empty for every address
	Advertise []string // host:port each, as agents are told; may be empty
}

// Log is what the controller logs.
type Log struct {
	Level slog.Level
	JSON  bool // one JSON object a line, else text
}

// Provider is one account, in one region, of one cloud.
type Provider struct {
	Name     string
	Kind     string          // one of package clouds
	Settings clouds.Settings // what that kind takes and was given

	// Timeout is how long one call may take, at most. 0 where there is no cloud.
	Timeout time.Duration
}

// Group is one cloud firewall and the hosts behind it.
type Group struct {
	Name          string
	Provider      Provider
	Firewall      string             // the provider's own id, such as "sg-0f3a9c1d2e4b5a687"; "" where Provider has none
	Protect       portsnare.PortSet  // protected ports worth hiding
	Public        portsnare.PortSet  // protected ports that the world knows; disjoint from Protect
	Avoid         portsnare.PortSet  // never traps
	Hosts         []string           // at least one; a host is in one group only
	Rotate        Rotation           // when
	Traps         Traps              // how many
	Policy        portsnare.Policy   // who is banned, and for how long
	Allow         []netip.Prefix     // never banned, never counted
	Sources       []portsnare.Source // whom the openings admit, at least one
	Grace         time.Duration      // from closed in the cloud to disarmed on the hosts; longer than Provider.Timeout
	ReportTimeout time.Duration      // how long a host may take to report
	OnMissing     OnMissing          // what if it does not
	Repair        time.Duration      // between two looks at the firewall for drift
}

// Protected returns every port that must stay open: Protect and Public.
func (g Group) Protected() portsnare.PortSet { return g.Protect.Union(g.Public) }

// Traps is how many traps a group has, by class.
type Traps struct {
	Auto       bool             // the rest, save Limits and Keep, is to be chosen
	Limits     placement.Limits // within which
	Keep       float64          // share that the next set takes over
	Neighbours int              // beside each protected port
	Radius     int              // how far from it they may lie, in ports
	Bait       int
	Secret     Secret
}

// Secret is the size of the secret class. Ports are spread over Openings
// ranges; no opening, no secret trap.
type Secret struct {
	Openings int
	Ports    int // at least Openings
}

// OnMissing is what a rotation does about a host that does not report in time.
type OnMissing string

// The choices for a missing host.
const (
	Hold    OnMissing = "hold"    // keep the present generation and try again
	Proceed OnMissing = "proceed" // go on without it
)

// Load reads the configuration in a file. Errors are of kind NotFound, Denied
// or, as from [Parse], Invalid.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, readError(path, err)
	}
	return Parse(path, text)
}

func readError(path string, err error) error {
	e := &portsnare.Error{Op: "read", Subject: path, Err: err}
	if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
		e.Err = cause.Err // the path has been named
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Hint = portsnare.NotFound, "portsnare init -c "+path+" writes one to start from"
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = portsnare.Denied, "run it as the user who owns the file, or as root"
	}
	return e
}

// Group returns the group of that name, or an error of kind NotFound.
func (c Config) Group(name string) (Group, error) {
	return c.find(name, "group", func(g Group) []string { return []string{g.Name} })
}

// GroupOf returns the group that a host is in, or an error of kind NotFound.
func (c Config) GroupOf(host string) (Group, error) {
	return c.find(host, "host", func(g Group) []string { return g.Hosts })
}

// find returns the group that has name among what names returns of it.
func (c Config) find(name, what string, names func(Group) []string) (Group, error) {
	var known []string
	for _, g := range c.Groups {
		if slices.Contains(names(g), name) {
			return g, nil
		}
		known = append(known, names(g)...)
	}
	return Group{}, &portsnare.Error{
		Kind: portsnare.NotFound, Op: "find " + what, Subject: name,
		Err:  errors.New("the configuration has no such " + what),
		Hint: "it has " + strings.Join(known, ", "),
	}
}

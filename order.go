package portsnare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
)

// Order is everything that the controller wants one agent to program, so the latest
// order is the only one that matters. Bans and friends are not in it: hosts make
// them themselves, and report bans as a [BanUpdate].
type Order struct {
	// Serial names this order, TrapsSerial its trap part alone: Generation and
	// Traps. Both are the controller's, and opaque to everybody else; the report
	// of an agent that has armed the order echoes them. Unknown fields therefore
	// never make controller and agent disagree (docs/adr/0006).
	Serial      string `json:"serial,omitempty"`
	TrapsSerial string `json:"traps_serial,omitempty"`

	Host       string     `json:"host"`
	Group      string     `json:"group"`
	Generation Generation `json:"generation"` // of the newest trap set in Traps
	Traps      Traps      `json:"traps"`
	Protected  PortSet    `json:"protected"` // public ports included
	Public     PortSet    `json:"public"`
	Policy     Policy     `json:"policy"`
	// CloudFirewall: a cloud firewall stands in front of the host, so a local
	// service on a trap port would be out of reach without us and must stay so.
	CloudFirewall bool `json:"cloud_firewall"`
	// Alarm: many sources are hitting traps at once, so whoever is no friend is
	// kept off the hidden ports for now.
	Alarm bool           `json:"alarm,omitempty"`
	Allow []netip.Prefix `json:"allow,omitempty"` // never banned, never counted
}

// Hidden returns the protected ports that the world does not know.
func (o Order) Hidden() PortSet { return o.Protected.Minus(o.Public) }

// Validate returns an error of kind [Invalid] if the order contradicts itself.
func (o Order) Validate() error {
	if err := checkName(o.Host); err != nil {
		return fmt.Errorf("order for host: %w", err)
	}
	if both := o.Traps.Ports().Intersect(o.Protected); !both.Empty() {
		return invalidf("order for %s: %s is both trap and protected", o.Host, both)
	}
	if both := o.Traps.Bait.Intersect(o.Traps.Firing()); !both.Empty() {
		return invalidf("order for %s: %s is bait and not bait", o.Host, both)
	}
	if extra := o.Public.Minus(o.Protected); !extra.Empty() {
		return invalidf("order for %s: %s is public but not protected", o.Host, extra)
	}
	if i := slices.IndexFunc(o.Allow, func(p netip.Prefix) bool { return !p.IsValid() }); i >= 0 {
		return invalidf("order for %s: allow entry %d is no prefix", o.Host, i+1)
	}
	if err := o.Policy.Validate(); err != nil {
		return fmt.Errorf("order for %s: %w", o.Host, err)
	}
	return nil
}

// Digest is 16 hex digits that are equal for orders of equal content, whatever
// their serials. Agents of the first version report it as what they have armed.
func (o Order) Digest() string {
	o.Serial, o.TrapsSerial = "", ""
	text, err := json.Marshal(o)
	if err != nil { // an Order holds nothing that JSON cannot carry
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

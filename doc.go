// Package portsnare is the domain of Portsnare as plain values: what a trap is,
// which rules a firewall should hold, what a server must arm, who is banned and
// why. It imports the standard library only and knows no clock, no network, no
// goroutine. Read it and you know the system.
//
// # The story
//
// A server hides a few services on [Port] numbers that only their users know,
// behind a cloud firewall that admits nothing else. A scanner tries one port after
// another to find them. Portsnare makes that scan blind: a controller keeps
// opening, in the cloud firewall, ports on which nothing listens. These are
// traps. An agent on each server has the kernel count the distinct traps that a
// source touches; the last of K of them bans the source, on that very packet,
// before it has found anything. A trap that is known is a weapon, since anyone can
// forge your address onto it to have you banned. So the traps move.
//
// # The words
//
// A protected port has a real service and is always open. A trap belongs to a
// [Class]: a [Neighbour] of a protected port, a [Bait] that every scanner tries
// first, or a [Secret] anywhere. A [TrapSet] is the traps of one group, that is
// of one cloud firewall and the hosts behind it, at one moment; its
// [Generation] only grows. An [Opening] is what one cloud rule of ours admits. A
// [Rule] is a rule that stands there. Its [Mark] says which installation made it,
// and for which group; that is how we know ours from everybody else's.
//
// # The flow
//
// A decision is made once, is carried as a value, and is carried out at the
// edge.
//
//	draw -> TrapSet -> Move -> Steps -> Order -> agent    -> kernel
//	                                 -> Plan  -> provider -> cloud firewall
//	Report, Hit, Ban <- agent        Done <- provider
//
// A [Standing] is what is known of a group before it moves, what the cloud has
// open included. [Standing.MoveTo] plans a [Move] from it to the next trap set, and
// [Move.Steps] says how: every trap is armed on every host before the cloud opens
// it, and disarmed only after the cloud closed it, no call can still be on its way,
// and the cloud was read again. Each step names the state to be reached, so after a
// crash it is simply done again. A test visits every state that a group can get
// into on the way (docs/model). [Diff] compares the rules of a firewall with those
// wanted and yields a [Plan]. A Plan never removes a rule that bears no mark of
// ours, nor the only rule that admits a protected port.
//
// An [Order] is what a host has to watch and by which policy. It has two serials,
// its own and that of its traps. The agent returns both in its [Report] once the
// order is armed and saved, and a rotation waits for the second. What the kernel
// saw comes back as a [Hit] for each new attempt on a trap and as a [Ban], which
// says since when, until when, and which traps it was. Bans travel as a
// [BanUpdate], numbered, beside the order and not in it. When a source is banned,
// and for how long, is the [Policy].
//
// # Around it
//
// Package rotator is the controller, the packages below providers speak to one
// cloud each, those below hostagent to one kernel facility each. They import
// this package and, but for what their folder shares, never each other; only the
// commands know them all.
package portsnare

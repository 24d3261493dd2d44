// Package hub is the controller's side of the link: a NATS server inside the
// controller that keeps every host's order, hears what hosts report, and
// answers the command line.
//
// # Who may do what
//
// Three parties connect, each with an nkey, over TLS 1.3 only. A host may hear
// its own push subject, ask for its own stored order, and speak in its own name.
// The operator may ask the controller. The controller, inside the process, may
// do everything. Hosts live in a NATS account of their own that has no JetStream:
// where a reply goes is the asker's free choice in NATS and is checked by nobody,
// so a host in the controller's account could have the server answer to a
// subject on which the host itself may not speak.
//
// # What lasts
//
// What Send, Put and Enroll were given is on disk, synced, when they return.
// Reports and hits are written behind, bans at once.
package hub

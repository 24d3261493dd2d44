// Package hub is the controller's side of the link: it keeps every host's order,
// hears what hosts report, and answers the command line. It works on a connection
// to a NATS server; [Open] brings one along (package embedded).
//
// # Who may do what
//
// Three parties connect, each with an ed25519 key, over TLS 1.3 only. A host may
// hear its own push and resync subjects, ask for its own stored order, and speak
// in its own name. The operator may ask the controller. The controller, inside the
// process, may do everything. Hosts live in a NATS account of their own that has no
// JetStream: where a reply goes is the asker's free choice in NATS and is checked
// by nobody, so a host in the controller's account could have the server answer to
// a subject on which the host itself may not speak.
//
// # What hosts say
//
// Nothing that a host says is stored as it came. The hub parses it, checks every
// word and number, and stores what it made of it, on subjects on which no host may
// speak, with a bound for each host.
//
// # What lasts
//
// What Send, Put and Enroll were given is on disk, synced, when they return.
// Values carry a checksum, and enrolment and the rotators' state have a second copy
// in a file. Reports and the history of hits and bans are written behind. Bans in
// force are not stored at all: hosts tell them anew after each connect.
package hub

// Package embedded is the NATS server inside the controller and the port in
// front of it.
//
// # The port
//
// Before a peer has proved who it is, the port tells it nothing. A TLS client
// that does not ask for the server's secret name (see portsnare.ServerName) gets
// an alert and no certificate; one that does has to present a certificate whose
// key is enrolled. Certificates of hosts are signed by themselves: the list of
// keys is the authority, so nothing expires, and expelling a host takes one
// deletion. Only then is the connection handed to the NATS server, which has no
// listener of its own.
//
// Hosts that joined with a token of the first version have no certificate. As
// long as one of them is enrolled, a client that does not ask for the secret name
// is shown the old certificate and the greeting of NATS, as before.
//
// # What a host may cost
//
// A host has one connection. Bytes and messages that it sends are paced, so that
// one that sends more is slowed down by TCP and by nothing else. A second
// connection with the same credential is refused while the first is alive, and
// reported: it is what a cloned machine image looks like.
package embedded

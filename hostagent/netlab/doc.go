// Package netlab is the laboratory: network namespaces, the links between
// them, forged packets, sniffers and port scanners. The kernel tests, the kill
// tests and "portsnare demo" run in it, so that nothing they do can reach the
// machine's own network.
//
// A [Namespace] is made by unshare(2), so no program and no name in /run/netns
// is needed. A [Topology] is the world of the product in small: a scanner, a
// cloud that routes, a server. A [Lab] wraps both for tests, and [Main], called
// from TestMain, moves a whole test binary into namespaces of its own, which
// also gives it the rights it needs when it does not run as root.
//
// Inside a namespace a program runs through [Namespace.Command], a socket is
// made by [Namespace.Dial], [Namespace.Listen] and [Namespace.ListenPacket],
// and anything else by [Namespace.Do].
//
// [Namespace.Send] forges packets, a [Capture] shows what truly crossed an
// interface, [Topology.Fence] tells when all that was sent has been dealt with, so that
// "nothing answered" is a fact and not a matter of patience. [SYNScan] and
// [ConnectScan] are honest scanners; [Nmap] and [Masscan] drive the real ones.
//
// All addresses are from the ranges reserved for documentation, RFC 5737 and
// RFC 3849. Linux only.
package netlab

// Package demo is the whole product on one machine: a scanner, a cloud firewall
// and a server in three network namespaces, the real controller, the real agent,
// real scans. A [World] is the stage, with a cloud whose packet filter admits
// exactly what its EC2 endpoint holds; [Run] is the play that `portsnare demo`
// shows. The kill tests use the same stage.
package demo

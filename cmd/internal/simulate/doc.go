// Package simulate plays scans against trap sets and counts how many reach a
// protected port. Order statistics do the work: what matters of a scan of 65,535
// ports is when it comes to the traps and to the port, so a trial draws those
// few hundred moments and no packet.
//
// A [Scan] says in which order, at which pace and from how many sources; a
// [Placement] where the traps lie; [Rules] what the kernel does about a hit, as
// package hostagent/ipset has it: K-1 slots, each for the window, a ban by the
// next trap that can fire, and strikes that outlast the ban. The delay is that of the
// kernel program, which is stricter: there a bait between the first SYN and its
// repetition counts as well. The alarm is raised by the simulation only: the kernel
// program obeys one, but nothing raises it yet, so rows that use it are marked as
// modelled only.
//
// Nothing rotates while a scan runs. In random order that changes nothing: each
// probe meets a trap with the same probability whether they moved meanwhile or
// not. Against whoever learns, it does: see [Learner].
package simulate

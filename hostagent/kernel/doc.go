// Package kernel is what all backends agree on: what they are given, what the
// kernel program logs, how it holds time, how much its tables hold, which entries
// go in when there is no room, and what a rehearsal of the program has to try.
//
// # The bound on bans
//
// [MaxBans] is the only bound on bans in force, for each family, and both backends
// keep it to the entry, whoever bans: the kernel on a packet, or an agent. So an
// agent that can remember as many of each family never forgets a ban that the
// kernel enforces. Bans that find no room are those that end first, and
// [Problems] or an error of kind [portsnare.LimitExceeded] says how many they are.
package kernel

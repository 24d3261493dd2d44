// Package kerneltest is what every kernel backend has to pass, in every variant:
// real scanners, which must find nothing, and innocents, who must not be banned;
// restarts, rotations, and administrators who flush what they find. It runs in
// network namespaces of its own.
//
// It is tests and benchmarks, and the few cases that need a backend which only
// its own package can make, such as [FullMemory], [KilledAnywhere] and
// [KernelLacksEach]. The tests of that package run those.
//
//	go test ./hostagent/kerneltest -v
//	go test ./hostagent/kerneltest -update
//	go test ./hostagent/kerneltest -run '^$' -bench .
//
// The first prints the outcome of each case for each backend as a table. The
// outcomes are certain, not likely: whatever the scanner's order, it meets
// enough traps before the protected port. So the table is kept in
// docs/kernel-conformance.md, which -update writes and every run compares. A
// case whose program is not installed is skipped; it fails where NETLAB_REQUIRED
// is set.
package kerneltest

// Package kernel is what all backends agree on: what they are given, what the
// kernel program logs, and how it holds time.
package kernel

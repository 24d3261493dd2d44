// Package rotator is the controller of one group: it draws the next trap set,
// carries it through the steps of a rotation so that a crash at any instant
// resumes where it stopped, and repairs what others changed in between.
//
// It decides nothing about a cloud or a link: it calls a [Firewall], a [Fleet]
// and a [Store], which the command wires to a provider and to package hub.
package rotator

// Package openstack keeps traps in a security group of OpenStack Neutron.
//
// A rule of ours is known by its description, which Neutron keeps as it was
// given: a security group rule can be made and deleted, never edited, and its
// id is not used again. Rules are removed by id after they have been read once
// more, and a rule without our description is in no call that writes. Best is a
// security group that holds the traps and nothing else, beside the one that
// admits the protected ports: Neutron admits what any group of a port admits.
//
// Rules are made many at once, all or none, and deleted one by one. How many
// there may be is a quota of the project, which counts the rules of all its
// groups, outbound ones too.
//
// Credentials are found as the openstack command finds them: OS_CLOUD and
// clouds.yaml, or else the variables of an openrc file, application credentials
// included. The role member on the project of the group is enough.
//
// Nothing is tried twice here, save a call after a token has run out, which
// Neutron has refused to look at: errors say by their kind whether the caller
// may.
package openstack

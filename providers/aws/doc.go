// Package aws keeps traps in an Amazon EC2 security group.
//
// A rule of ours bears the tag "portsnare" with the owner mark as its value;
// the tag alone decides whose a rule is, the description is for people. Rules
// are born with their tag, are removed by their id, and a rule without our tag
// is in no call that writes. Best is a security group that holds the traps and
// nothing else, beside the one that admits the protected ports: EC2 admits what
// any group of an interface admits.
//
// Credentials are found by the SDK's own chain (environment, ~/.aws, role), and
// AWS_PROFILE, AWS_REGION, AWS_CA_BUNDLE and AWS_ENDPOINT_URL_EC2 work as in
// every program that uses it. [Policy] is the least that they must be allowed.
//
// Nothing is tried twice here: errors say by their kind whether the caller may.
package aws

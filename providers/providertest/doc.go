// Package providertest is the one conformance walk that every provider passes.
//
// A provider's test describes itself as a [Provider] and calls [Run]. The walk
// then does to the firewall what a rotation does (Rules, portsnare.Diff, Apply,
// until nothing is left to do) while a [Human] at the console and [Faults] on
// the line get in its way. After every single step it demands that no rule of
// others has changed by one byte, the one for a protected port first of all,
// and that Done claimed nothing that is not so; at the end of every case, that
// ours are exactly the openings that were wanted.
//
// # Length
//
// The last case is a random walk. PORTSNARE_WALK says how many moves it makes
// (300 without it), PORTSNARE_SEED where it begins (1 without it).
//
// # Other endpoints and real accounts
//
// The walk runs against a fake always. It runs against another emulator or a
// real account too where the environment names a firewall that it may use up: it
// must hold nothing of value, and nobody else may change it meanwhile. Rules
// that stand in it are left alone. Credentials and endpoints are found as the
// provider finds them.
//
//	PORTSNARE_TEST_AWS           id of a security group; AWS_ENDPOINT_URL_EC2, AWS_REGION, ...
//	PORTSNARE_TEST_DIGITALOCEAN  id of a firewall named portsnare-walk; DIGITALOCEAN_API_URL, DIGITALOCEAN_TOKEN
//	PORTSNARE_TEST_VULTR         id of a firewall group; VULTR_API_ENDPOINT, VULTR_API_KEY
//	PORTSNARE_TEST_OPENSTACK     id of a security group; OS_CLOUD and the other OS_ variables
package providertest

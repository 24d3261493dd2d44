// Package digitalocean keeps traps in a DigitalOcean Cloud Firewall.
//
// DigitalOcean's rules have no ids and no marks, so the firewall itself is the
// mark: traps live in a firewall of their own that is named after the owner mark,
// such as portsnare-3f9a2c01.web for 3f9a2c01/web, and a firewall of another name is
// never touched. One of the first version, such as portsnare-web, is ours where
// Options.Former says so. In it, whatever admits TCP or UDP ports to addresses and to nothing
// else is ours, whoever made it. Rules that refuse, rules for ICMP, and rules
// whose sources are tags, Droplets, load balancers or clusters are others', and
// so are all outbound rules. The protected ports belong in another firewall:
// DigitalOcean admits what any firewall of a Droplet admits.
//
// Such a firewall must hold outbound rules that let out what the Droplets send,
// since without any it may shut them in, and with no rule at all DigitalOcean
// does not keep it.
//
// One rule carries every source of a port range, of both families. Changes are
// made by two calls, one that adds rules and one that removes them. With
// Options.Replace it is one that replaces the whole firewall, which also resets
// whatever it does not name: so it is made only where the token is known to see
// everything that is attached, and the firewall is attached by tag. What
// somebody else changes between its reading and its writing is lost.
//
// A change takes time to reach the Droplets. Rules and Apply wait for that.
//
// The token is found in DIGITALOCEAN_TOKEN or DIGITALOCEAN_ACCESS_TOKEN, or in a
// file that one of them with _FILE behind it names, the API's address in
// DIGITALOCEAN_API_URL. [Scopes] is the least that the token must be allowed.
//
// Nothing is tried twice here: errors say by their kind whether the caller may.
package digitalocean

// Package vultr keeps traps in a Vultr firewall group.
//
// An instance belongs to one firewall group, so the traps share theirs with the
// protected ports. A rule of ours bears the notes "portsnare:" with the owner
// mark behind; no rule can be changed once it is made, its notes neither. A rule
// is removed by its number, which is small and may have been given to another
// rule meanwhile, so it is read again right before, and removed only if every
// field and the notes are those that the plan speaks of. Rules for Cloudflare or
// a load balancer are never ours, whatever their notes.
//
// Every rule is one call, for IPv4 and for IPv6 each, and calls are paced below
// the rate that Vultr allows an address. Nothing is tried twice here: errors say
// by their kind whether the caller may.
//
// The API key comes from VULTR_API_KEY, or from the file that VULTR_API_KEY_FILE
// names; VULTR_API_ENDPOINT points to another server. The key's user needs the
// permission to manage firewalls and no other.
package vultr

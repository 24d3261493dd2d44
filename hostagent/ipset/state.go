package ipset

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// state is what of ours stands in the kernel.
type state struct {
	sets     map[string]bool // by name
	contents map[string]content
	bans     map[netip.Prefix]ban // by source
	known    kernel.Known         // friends, if they were read
	tables   tableStates
	missing  portsnare.PortSet // places that do not exist, or were made by us although no set tells, by number
	reserved portsnare.PortSet // ip_local_reserved_ports, ours or not
	lost     portsnare.PortSet // of reserved, what is ours although no set tells
}

// ban is an entry of the ban sets.
type ban struct {
	until   time.Time
	packets uint64 // dropped
}

// tableState is what of ours stands in one iptables table.
type tableState struct {
	chains map[string][]string // rules by chain
	jumps  []string            // "CHAIN …": rules of others' chains that lead to ours
}

// names returns the names of our sets, sorted.
func (s state) names() []string { return slices.Sorted(maps.Keys(s.sets)) }

// none reports whether nothing of ours stands anywhere.
func (s state) none() bool {
	for _, tables := range s.tables {
		for _, t := range tables {
			if len(t.chains) > 0 {
				return false
			}
		}
	}
	return len(s.sets) == 0
}

// allowed returns the networks on the allow lists.
func (s state) allowed() (nets []netip.Prefix) {
	for _, f := range families {
		for _, text := range s.contents[f.set("allow")].nets {
			if net, err := parseNet(text); err == nil {
				nets = append(nets, net)
			}
		}
	}
	return nets
}

// parseNet reads a network as ipset prints it, of an address alone without bits.
func parseNet(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// bansUntil returns until when each source is banned.
func (s state) bansUntil() map[netip.Prefix]time.Time {
	until := make(map[netip.Prefix]time.Time, len(s.bans))
	for source, b := range s.bans {
		until[source] = b.until
	}
	return until
}

// foreignReserved returns what others put into ip_local_reserved_ports.
func (s state) foreignReserved() portsnare.PortSet {
	var ours portsnare.PortSet
	for _, name := range []string{trapTCP, trapTCP + fresh, trapUDP, trapUDP + fresh, owed} {
		ours = ours.Union(s.contents[name].ports)
	}
	return s.reserved.Minus(ours.Minus(s.contents[reserved].ports).Union(s.lost))
}

// readable reports whether the content of one of our sets is worth reading
// before every change. What the kernel remembers for itself is many.
func readable(set string) bool { return isBans(set) || !isMemory(set) }

// isMemory reports whether the kernel fills a set of ours by itself.
func isMemory(set string) bool {
	return slices.ContainsFunc([]string{"hit", "strike", "ban", friends, crowd, heard, spoken, plain}, func(kind string) bool {
		return strings.HasPrefix(set, prefix+kind)
	})
}

// familyOfSet returns the index of the family that a set belongs to.
func familyOfSet(set string) int {
	return slices.IndexFunc(families[:], func(f family) bool { return strings.HasSuffix(set, f.digit) })
}

func isAllow(set string) bool { return strings.HasPrefix(set, prefix+"allow") }

func isBans(set string) bool { return strings.HasPrefix(set, prefix+"ban") }

// parseSets reads the output of "ipset save".
func (s *state) parseSets(text string, now time.Time) error {
	bitmaps := map[string]bool{}
	ranges := map[string][]portsnare.PortRange{}
	s.contents, s.bans, s.known = map[string]content{}, map[netip.Prefix]ban{}, kernel.Known{Until: map[kernel.Pair]time.Time{}}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		switch verb, name, entry := fields[0], fields[1], fields[2]; {
		case entry == discard:
		case verb == "create":
			bitmaps[name] = strings.HasPrefix(entry, "bitmap:")
		case bitmaps[name]:
			r, err := parseRange(entry)
			if err != nil {
				return err
			}
			ranges[name] = append(ranges[name], r)
		case isBans(name):
			source, b, err := parseBan(fields[2:], now)
			if err != nil {
				return err
			}
			s.bans[source] = b
		case isCrowd(name):
			s.known.Crowd[familyOfSet(name)]++
		case isFriends(name):
			f, until, err := parseFriend(fields[2:], now)
			if err != nil {
				return err
			}
			s.known.Until[f] = until
		default:
			c := s.contents[name]
			c.nets = append(c.nets, entry)
			s.contents[name] = c
		}
	}
	for name, r := range ranges {
		s.contents[name] = content{ports: portsnare.NewPortSet(r...)}
	}
	return nil
}

// parseBan reads "198.51.100.7 timeout 583 packets 3 bytes 180".
func parseBan(fields []string, now time.Time) (source netip.Prefix, b ban, err error) {
	addr, err := netip.ParseAddr(fields[0])
	if err != nil {
		return source, b, err
	}
	left, packets, err := parseExtras(fields[1:])
	if err != nil {
		return source, b, fmt.Errorf("ban of %s: %w", addr, err)
	}
	return portsnare.BanPrefix(addr), ban{now.Add(left), packets}, nil
}

// parseExtras reads "timeout 583 packets 3 bytes 180".
func parseExtras(fields []string) (left time.Duration, packets uint64, err error) {
	for i := 0; i+1 < len(fields); i += 2 {
		n, err := strconv.ParseUint(fields[i+1], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		switch fields[i] {
		case "timeout":
			left = time.Duration(n) * time.Second
		case "packets":
			packets = n
		}
	}
	return left, packets, nil
}

// parseTable reads from the output of iptables-save for one table what concerns the
// chains that are ours.
func parseTable(text string, isOurs func(chain string) bool) tableState {
	t := tableState{chains: map[string][]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, ":"); ok {
			if name, _, _ = strings.Cut(name, " "); isOurs(name) {
				t.chains[name] = nil
			}
			continue
		}
		rule, ok := strings.CutPrefix(line, "-A ")
		if !ok {
			continue
		}
		switch name, spec, _ := strings.Cut(rule, " "); {
		case isOurs(name):
			t.chains[name] = append(t.chains[name], spec)
		case isOurs(target(spec)):
			t.jumps = append(t.jumps, rule)
		}
	}
	return t
}

func isOurs(chain string) bool {
	return (chain == chainMain || strings.HasPrefix(chain, chainMain+"_")) && !isStaged(chain)
}

// target returns where a rule leads.
func target(spec string) string {
	fields := strings.Fields(spec)
	for i := len(fields) - 2; i >= 0; i-- {
		if fields[i] == "-j" || fields[i] == "-g" {
			return fields[i+1]
		}
	}
	return ""
}

// names returns the names of our chains, sorted.
func (t tableState) names() []string { return slices.Sorted(maps.Keys(t.chains)) }

// is reports whether what stands is what is wanted.
func (t tableState) is(want table) bool {
	return len(t.chains) == len(want.chains) &&
		slices.Equal(slices.Sorted(slices.Values(t.jumps)), want.jumpRules()) &&
		!slices.ContainsFunc(want.chains, func(c chain) bool { return !slices.Equal(t.chains[c.name], c.rules) })
}

// jumpRules returns the rules that lead to our chains, as they are printed,
// sorted.
func (t table) jumpRules() []string {
	var rules []string
	for _, j := range t.jumps {
		rules = append(rules, j.String())
	}
	slices.Sort(rules)
	return rules
}

func (t table) has(name string) bool {
	return slices.ContainsFunc(t.chains, func(c chain) bool { return c.name == name })
}

// summary names what of ours stands.
func (s state) summary() string {
	words := s.names()
	for i, tables := range s.tables {
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			for _, chain := range tables[name].names() {
				words = append(words, families[i].tool+" "+name+" "+chain)
			}
		}
	}
	return strings.Join(append(words, "reserved ports"), ", ")
}

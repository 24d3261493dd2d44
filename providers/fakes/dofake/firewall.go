package dofake

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// A Firewall is a firewall with its rules in the order in which they were made.
type Firewall struct {
	ID         string
	Name       string
	Inbound    []Rule
	Outbound   []Rule
	DropletIDs []int
	Tags       []string
	Created    time.Time

	pending int // reads until the Droplets have the rules
}

func (f Firewall) clone() Firewall {
	f.Inbound, f.Outbound = cloneRules(f.Inbound), cloneRules(f.Outbound)
	f.DropletIDs, f.Tags = slices.Clone(f.DropletIDs), slices.Clone(f.Tags)
	return f
}

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]+$`)

// check demands what holds of every firewall.
func (f Firewall) check() error {
	switch n := len(f.Inbound) + len(f.Outbound); {
	case !namePattern.MatchString(f.Name):
		return unprocessable("name must begin with an alphanumeric character and consist of alphanumeric characters, periods and dashes")
	case n == 0:
		return unprocessable("a firewall must have at least one rule")
	case n > maxRules:
		return unprocessable("a firewall may have at most %d rules", maxRules)
	case len(f.DropletIDs) > maxDroplets:
		return unprocessable("a firewall may have at most %d droplets", maxDroplets)
	case len(f.Tags) > maxTags:
		return unprocessable("a firewall may have at most %d tags", maxTags)
	}
	return nil
}

// add adds rules that stand nowhere yet.
func (f *Firewall) add(inbound, outbound []Rule) error {
	for _, r := range slices.Concat(inbound, outbound) {
		standing := f.Inbound
		if r.Destinations != nil {
			standing = f.Outbound
		}
		if slices.ContainsFunc(standing, r.collides) {
			return unprocessable("duplicate rules are not allowed")
		}
	}
	f.Inbound, f.Outbound = append(f.Inbound, inbound...), append(f.Outbound, outbound...)
	return nil
}

// remove removes rules that all stand.
func (f *Firewall) remove(inbound, outbound []Rule) error {
	for _, r := range slices.Concat(inbound, outbound) {
		standing := &f.Inbound
		if r.Destinations != nil {
			standing = &f.Outbound
		}
		i := slices.IndexFunc(*standing, r.equal)
		if i < 0 {
			return unprocessable("rule %s not found", r)
		}
		*standing = slices.Delete(*standing, i, i+1)
	}
	return nil
}

// OpenOutbound is the outbound rules of a firewall that lets everything out.
func OpenOutbound() []Rule {
	var rules []Rule
	for _, protocol := range []string{"tcp", "udp", "icmp"} {
		rules = append(rules, Rule{Protocol: protocol, Ports: "0", Action: "allow", Destinations: &Target{Addresses: []string{"0.0.0.0/0", "::/0"}}})
	}
	return rules
}

// AddFirewall makes a firewall and returns its ID. Errors are *[Error].
func (f *Fake) AddFirewall(fw Firewall) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.make(fw.clone())
}

func (f *Fake) make(fw Firewall) (string, error) {
	f.last++
	fw.ID = fmt.Sprintf("bb4b2611-3d72-467b-8602-%012x", f.last)
	fw.Created = f.now().UTC().Truncate(time.Second)
	return fw.ID, f.put(fw)
}

// put stores a firewall that has changed.
func (f *Fake) put(fw Firewall) error {
	if err := fw.check(); err != nil {
		return err
	}
	for _, other := range f.firewalls {
		if other.Name == fw.Name && other.ID != fw.ID {
			return &Error{Status: 409, ID: "conflict", Message: "duplicate name"}
		}
	}
	for _, tag := range fw.Tags {
		if !f.tags[tag] {
			return unprocessable("tag %q does not exist", tag)
		}
	}
	fw.pending = f.delay
	f.firewalls[fw.ID] = fw
	return nil
}

// Firewall returns a firewall as it stands, the zero one if it is absent.
func (f *Fake) Firewall(id string) Firewall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.firewalls[id].clone()
}

// Rename gives a firewall another name, as its owner does. Errors are *[Error].
func (f *Fake) Rename(id, name string) error {
	return f.edit(id, func(fw *Firewall) error {
		fw.Name = name
		return nil
	})
}

// RemoveFirewall removes a firewall, if it is there.
func (f *Fake) RemoveFirewall(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.firewalls, id)
}

// AddRule adds an inbound rule, even one that overlaps another.
func (f *Fake) AddRule(id string, r Rule) error {
	return f.edit(id, func(fw *Firewall) error {
		n, err := r.normal(true)
		if err == nil && slices.ContainsFunc(fw.Inbound, n.equal) {
			err = unprocessable("duplicate rules are not allowed")
		}
		fw.Inbound = append(fw.Inbound, n)
		return err
	})
}

// EditRule puts an inbound rule in the place of another.
func (f *Fake) EditRule(id string, old, r Rule) error {
	return f.edit(id, func(fw *Firewall) error {
		n, err := r.normal(true)
		i := slices.IndexFunc(fw.Inbound, old.equal)
		if err != nil || i < 0 || slices.ContainsFunc(fw.Inbound, n.equal) {
			return unprocessable("cannot make %s of %s", r, old)
		}
		fw.Inbound[i] = n
		return nil
	})
}

// RemoveRule removes an inbound rule.
func (f *Fake) RemoveRule(id string, r Rule) error {
	return f.edit(id, func(fw *Firewall) error { return fw.remove([]Rule{r}, nil) })
}

// edit changes a firewall whole or not at all.
func (f *Fake) edit(id string, change func(*Firewall) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fw, ok := f.firewalls[id]
	if !ok {
		return errNotFound
	}
	fw = fw.clone()
	if err := change(&fw); err != nil {
		return err
	}
	return f.put(fw)
}

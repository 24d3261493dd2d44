package portsnare

import "strings"

// Mark is the owner mark that every cloud rule of ours bears: which installation
// of the controller and which of its groups owns it. It is written OWNER/GROUP.
// Those of the first version name the group alone. The empty Mark stands on
// everybody else's rules.
type Mark string

// NewMark returns the mark of a group of an owner. Both are names as [ParseName]
// takes them.
func NewMark(owner, group string) Mark { return Mark(owner + "/" + group) }

// ParseMark reads a mark of this version or of the first. Its error is of kind
// [Invalid].
func ParseMark(s string) (Mark, error) {
	if s == "" {
		return "", invalidf("an owner mark is needed")
	}
	owner, group, named := strings.Cut(s, "/")
	if !named {
		group = owner
	}
	for _, name := range []string{owner, group} {
		if err := checkName(name); err != nil {
			return "", err
		}
	}
	return Mark(s), nil
}

// Owner returns the installation that m names, or "" for a mark of the first
// version.
func (m Mark) Owner() string {
	owner, _, named := strings.Cut(string(m), "/")
	if !named {
		return ""
	}
	return owner
}

// Group returns the group that m names.
func (m Mark) Group() string {
	_, group, named := strings.Cut(string(m), "/")
	if !named {
		return string(m)
	}
	return group
}

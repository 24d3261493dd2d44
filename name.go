package portsnare

import "strings"

// ParseName checks the name of a host or a group: 1 to 63 lower-case letters,
// digits and hyphens, no hyphen first or last, as in a DNS label.
func ParseName(s string) (string, error) { return s, checkName(s) }

func checkName(s string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	if s == "" || len(s) > 63 || strings.Trim(s, letters) != "" || s[0] == '-' || s[len(s)-1] == '-' {
		return invalidf("name %q: want 1 to 63 of a-z, 0-9 and hyphens, no hyphen at an end", s)
	}
	return nil
}

package aws

import "time"

// SetTimeout shortens the time that one call may take.
func (f *Firewall) SetTimeout(d time.Duration) { f.timeout = d }

// SetPage makes a listing come in pages of n rules, at least 5.
func (f *Firewall) SetPage(n int32) { f.page = n }

// WithQuota returns f as if the account's quota were another.
func (f *Firewall) WithQuota(rules int) *Firewall {
	other := *f
	other.rules = rules
	return &other
}

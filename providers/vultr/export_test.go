package vultr

import "time"

// SetTimeout shortens the time that one call may take.
func (f *Firewall) SetTimeout(d time.Duration) { f.api.Timeout = d }

// SetPage makes a list come in pages of n rules.
func (f *Firewall) SetPage(n int) { f.page = n }

package openstack

import "time"

// SetTimeout shortens the time that one call may take.
func (f *Firewall) SetTimeout(d time.Duration) { f.timeout = d }

// SetQuota is what [Options].Rules says.
func (f *Firewall) SetQuota(rules int) { f.quota = rules }

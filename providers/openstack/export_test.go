package openstack

import (
	"context"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

// SetTimeout shortens the time that one call may take.
func (f *Firewall) SetTimeout(d time.Duration) { f.timeout = d }

// SetQuota is what [Options].Rules says.
func (f *Firewall) SetQuota(rules int) { f.quota = rules }

// Client is the network service as the first call reaches it.
func (f *Firewall) Client(ctx context.Context) (*gophercloud.ServiceClient, error) {
	return f.connect(ctx)
}

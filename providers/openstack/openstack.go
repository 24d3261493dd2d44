package openstack

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// DefaultRules is how many security group rules a project may have where the
// cloud does not tell, which is Neutron's own default
// (https://docs.openstack.org/neutron/latest/configuration/neutron.html,
// quota_security_group_rule, checked 2026-11-21).
const DefaultRules = 100

const callTimeout = 20 * time.Second

// Options says which security group holds the traps, and whose they are.
type Options struct {
	Cloud   string           // its name in clouds.yaml, instead of OS_CLOUD
	Region  string           // where the environment does not say, or says otherwise
	GroupID string           // a UUID
	Mark    portsnare.Mark   // of the rules that are ours
	Former  []portsnare.Mark // that they had before; rules with one can be closed
	Rules   int              // quota of rules of the project where the cloud does not tell; 0 for DefaultRules
}

// Firewall is one security group. It may be used from several goroutines, but
// writes of one group are better made one after the other.
type Firewall struct {
	connect func(context.Context) (*gophercloud.ServiceClient, error)
	groupID string
	mark    portsnare.Mark
	former  []portsnare.Mark
	quota   int           // of the project, where the cloud does not tell; or 0
	timeout time.Duration // of one call
}

// Open finds cloud and credentials as the openstack command does. It sends
// nothing yet: the first call logs in. Options that cannot be, and an
// environment that cannot be read, are [portsnare.Invalid].
func Open(o Options) (*Firewall, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	login, err := loginByEnvironment(o.Cloud, o.Region)
	if err != nil {
		return nil, invalid("read the OpenStack configuration", "", failure.Local(err), hintEnvironment)
	}
	return &Firewall{login.client, o.GroupID, o.Mark, o.Former, o.Rules, callTimeout}, nil
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (o Options) check() error {
	const op = "open security group"
	switch {
	case !uuid.MatchString(o.GroupID):
		return invalid(op, o.GroupID, errors.New("want an id such as b985643f-3424-4e67-9768-8f8e3e9f0112"),
			"set the group's `firewall` to the id that `openstack security group list` shows")
	case o.Rules < 0:
		return invalid(op, o.GroupID, failure.Ownf("a quota of %d rules cannot be", o.Rules), "")
	}
	for _, mark := range append(slices.Clone(o.Former), o.Mark) {
		if _, err := portsnare.ParseMark(string(mark)); err != nil {
			return invalid(op, o.GroupID, failure.Local(err), "")
		}
	}
	return nil
}

// New returns the security group groupID as client, of the network service,
// sees it. Rules that bear a former mark can be closed. The client must not retry
// by itself: its RetryFunc and RetryBackoffFunc stay nil.
func New(client *gophercloud.ServiceClient, groupID string, mark portsnare.Mark, former ...portsnare.Mark) *Firewall {
	connect := func(context.Context) (*gophercloud.ServiceClient, error) { return client, nil }
	return &Firewall{connect, groupID, mark, former, 0, callTimeout}
}

// CallTimeout returns how long a call may take, logging in included, and with it
// how long after its beginning a write can still be carried out. No call that
// Neutron has looked at is made twice here.
func (f *Firewall) CallTimeout() time.Duration { return f.timeout }

// Rules returns every inbound rule of the group. A group that is not in this
// project and region is [portsnare.NotFound].
func (f *Firewall) Rules(ctx context.Context) ([]portsnare.Rule, error) {
	group, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	return toRules(group.Rules), nil
}

func (f *Firewall) read(ctx context.Context) (*groups.SecGroup, error) {
	return call(ctx, f, reading, func(ctx context.Context, client *gophercloud.ServiceClient) (*groups.SecGroup, error) {
		group, err := groups.Get(ctx, client, f.groupID).Extract()
		if err == nil && (group == nil || group.ID != f.groupID) {
			err = errOddAnswer // never to be taken for a group without rules
		}
		return group, err
	})
}

// call makes one call, once, within the time-out, and explains its error.
func call[T any](ctx context.Context, f *Firewall, what action, do func(context.Context, *gophercloud.ServiceClient) (T, error)) (T, error) {
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	var value T
	client, err := f.connect(limited)
	if err == nil {
		value, err = do(limited, client)
	}
	if err != nil {
		err = f.explain(ctx, what, err)
	}
	return value, err
}

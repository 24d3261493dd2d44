package aws

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go/logging"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// Policy is the least that an IAM policy must allow, as JSON, with REGION,
// ACCOUNT and GROUP to be filled in (and another partition than aws where it
// is one). Tags can be set on rules that are just being made and on no others,
// so the key cannot make somebody else's rule look like ours.
//
//go:embed policy.json
var Policy string

// DefaultRules is how many inbound rules a security group may hold for each IP
// family unless the account's quota L-0EA8095F was raised, which the EC2 API
// does not tell
// (https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html,
// checked 2026-11-21).
const DefaultRules = 60

const (
	callTimeout = 20 * time.Second
	pageSize    = 1000 // the most that DescribeSecurityGroupRules returns at once
)

// Options says which security group holds the traps, and whose they are.
type Options struct {
	Region  string           // where the environment does not say, or says otherwise
	GroupID string           // sg-…
	Mark    portsnare.Mark   // of the rules that are ours
	Former  []portsnare.Mark // that they had before; rules with one can be closed
	Rules   int              // quota of inbound rules for each IP family; 0 for DefaultRules
}

// Firewall is one security group. It may be used from several goroutines, but
// writes of one group are better made one after the other.
type Firewall struct {
	client  *ec2.Client
	groupID string
	mark    portsnare.Mark
	former  []portsnare.Mark
	rules   int
	timeout time.Duration // of one call
	page    int32
}

// Open finds region and credentials as every AWS program does. It sends nothing
// yet: what is wrong with them, the first call tells. Options that cannot be,
// and an environment that cannot be read, are [portsnare.Invalid].
func Open(ctx context.Context, o Options) (*Firewall, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(o.Region), config.WithLogger(logging.Nop{}))
	switch {
	case err != nil:
		return nil, invalid("read the AWS configuration", "", failure.Local(err),
			"look at AWS_PROFILE, AWS_CA_BUNDLE and the files ~/.aws/config and ~/.aws/credentials")
	case cfg.Region == "":
		return nil, invalid("find the region of", o.GroupID, errors.New("no region is set"),
			"set the provider's `region`, such as eu-central-1, or AWS_REGION")
	}
	f := New(ec2.NewFromConfig(cfg), o.GroupID, o.Mark, o.Former...)
	if o.Rules > 0 {
		f.rules = o.Rules
	}
	return f, nil
}

func (o Options) check() error {
	switch {
	case !strings.HasPrefix(o.GroupID, "sg-"):
		return invalid("open security group", o.GroupID, errors.New("want an id such as sg-0f3a9c1d2e4b5a687"),
			"set the group's `firewall` to the id of the security group, not its name")
	case o.Rules < 0:
		return invalid("open security group", o.GroupID, failure.Ownf("a quota of %d rules cannot be", o.Rules), "")
	}
	for _, mark := range append(slices.Clone(o.Former), o.Mark) {
		if _, err := portsnare.ParseMark(string(mark)); err != nil {
			return invalid("open security group", o.GroupID, failure.Local(err), "")
		}
	}
	return nil
}

// New returns the security group groupID as client sees it, with the quota
// [DefaultRules]. Rules that bear a former mark can be closed. The client's own
// retrying is not used.
func New(client *ec2.Client, groupID string, mark portsnare.Mark, former ...portsnare.Mark) *Firewall {
	return &Firewall{client, groupID, mark, former, DefaultRules, callTimeout, pageSize}
}

// CallTimeout returns how long a call may take, from looking for credentials to
// the end of the answer, and with it how long after its beginning a write can
// still be carried out. No call is made twice here.
func (f *Firewall) CallTimeout() time.Duration { return f.timeout }

// Rules returns every inbound rule of the group. Those that EC2 has just been
// told may not be there yet. A group that is not in this region is
// [portsnare.NotFound].
func (f *Firewall) Rules(ctx context.Context) ([]portsnare.Rule, error) {
	listed, err := f.list(ctx, f.groupID)
	if err != nil {
		return nil, err
	}
	if len(listed) == 0 {
		// An absent group has an empty list too, and no error.
		if err := f.find(ctx); err != nil {
			return nil, err
		}
	}
	return inbound(listed), nil
}

func inbound(listed []types.SecurityGroupRule) []portsnare.Rule {
	var rules []portsnare.Rule
	for _, r := range listed {
		if !sdk.ToBool(r.IsEgress) {
			rules = append(rules, toRules(r)...)
		}
	}
	return rules
}

func (f *Firewall) list(ctx context.Context, groupIDs ...string) ([]types.SecurityGroupRule, error) {
	in := &ec2.DescribeSecurityGroupRulesInput{
		Filters:    byGroup(groupIDs...),
		MaxResults: &f.page,
	}
	var rules []types.SecurityGroupRule
	for {
		out, err := call(ctx, f, f.client.DescribeSecurityGroupRules, in)
		if err != nil {
			return nil, err
		}
		rules = append(rules, out.SecurityGroupRules...)
		if sdk.ToString(out.NextToken) == "" {
			return rules, nil
		}
		in.NextToken = out.NextToken
	}
}

func byGroup(ids ...string) []types.Filter {
	return []types.Filter{{Name: sdk.String("group-id"), Values: ids}}
}

func (f *Firewall) find(ctx context.Context) error {
	_, err := call(ctx, f, f.client.DescribeSecurityGroups, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{f.groupID}})
	return err
}

// Limits returns the quota of the group. It asks nobody, so the error is nil. A
// prefix list takes as much room as it has entries at most, which is not seen
// here: with one in the group, count it off the quota.
func (f *Firewall) Limits(context.Context) (portsnare.Limits, error) {
	return portsnare.Limits{Rules: f.rules, PerFamily: true, InPlace: true}, nil
}

// call makes one call, once, within the time-out, and explains its error.
func call[In, Out any](ctx context.Context, f *Firewall, do func(context.Context, In, ...func(*ec2.Options)) (Out, error), in In) (Out, error) {
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	out, err := do(limited, in, once)
	if err != nil {
		err = f.explain(ctx, err)
	}
	return out, err
}

// once turns the SDK's retrying off, which would send a write again whose reply
// was lost, and makes the lack of credentials an error with a type.
func once(o *ec2.Options) {
	o.Retryer = sdk.NopRetryer{}
	o.HTTPClient = sender{o.HTTPClient}
	if o.Credentials != nil {
		o.Credentials = credentials{o.Credentials}
	}
}

package aws

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

const (
	hintLacking  = "allow it in the IAM policy of the credential; docs/aws.md has the least that is needed"
	hintSeeing   = "allow ec2:DescribeNetworkInterfaces on * in the IAM policy of the credential to have it checked"
	absentRuleID = "sgr-00000000000000000" // what a trial call speaks of, so that it could do nothing
)

// Authenticate asks whether AWS knows the credential, whatever it may do.
func (f *Firewall) Authenticate(ctx context.Context) error {
	_, err := call(ctx, f, f.client.DescribeSecurityGroups, &ec2.DescribeSecurityGroupsInput{DryRun: sdk.Bool(true)})
	if allowed(err) || refused(err) {
		return nil
	}
	return err
}

// Permissions asks by trial calls, which change nothing, whether the credential
// may do all that is needed, and returns [portsnare.Denied] with what it may
// not. Which rules a policy is for is seen as far as it names the group.
func (f *Firewall) Permissions(ctx context.Context) error {
	trials := []struct {
		action string
		do     func(context.Context) error
	}{
		{"DescribeSecurityGroups", f.tryFind},
		{"DescribeSecurityGroupRules", f.tryList},
		{"AuthorizeSecurityGroupIngress", func(ctx context.Context) error { return f.tryOpen(ctx, "") }},
		{"CreateTags (on new rules)", func(ctx context.Context) error { return f.tryOpen(ctx, f.mark) }},
		{"ModifySecurityGroupRules", f.trySwap},
		{"RevokeSecurityGroupIngress", f.tryClose},
	}
	var lacking []string
	for _, trial := range trials {
		switch err := trial.do(ctx); {
		case err == nil: // and so might the next be
			return invalid("try calls on", f.groupID, errors.New("the endpoint carries out what has DryRun on it"), "")
		case refused(err):
			lacking = append(lacking, "ec2:"+trial.action)
		case !allowed(err):
			return err
		}
	}
	// Where rules cannot be made at all, nothing is known of their tags.
	if i := slices.Index(lacking, "ec2:AuthorizeSecurityGroupIngress"); i >= 0 {
		lacking = slices.Delete(lacking, i+1, i+2)
	}
	if len(lacking) == 0 {
		return nil
	}
	return failure.New(portsnare.Denied, "aws: use", f.groupID, failure.Ownf("the credential lacks %s", strings.Join(lacking, ", ")), hintLacking)
}

func (f *Firewall) tryFind(ctx context.Context) error {
	_, err := call(ctx, f, f.client.DescribeSecurityGroups,
		&ec2.DescribeSecurityGroupsInput{DryRun: sdk.Bool(true), GroupIds: []string{f.groupID}})
	return err
}

func (f *Firewall) tryList(ctx context.Context) error {
	_, err := call(ctx, f, f.client.DescribeSecurityGroupRules,
		&ec2.DescribeSecurityGroupRulesInput{DryRun: sdk.Bool(true), Filters: byGroup(f.groupID)})
	return err
}

// trialOpening admits an address of which there is none.
var trialOpening = portsnare.Opening{
	Range:  portsnare.PortRange{Protocol: portsnare.TCP, From: 1, To: 1},
	Source: netip.MustParsePrefix("192.0.2.1/32"),
}

func (f *Firewall) tryOpen(ctx context.Context, mark portsnare.Mark) error {
	in := &ec2.AuthorizeSecurityGroupIngressInput{
		DryRun: sdk.Bool(true), GroupId: &f.groupID,
		IpPermissions: fromOpenings([]portsnare.Opening{trialOpening}, f.mark),
	}
	if mark != "" {
		in.TagSpecifications = fromMark(mark)
	}
	_, err := call(ctx, f, f.client.AuthorizeSecurityGroupIngress, in)
	return err
}

func (f *Firewall) trySwap(ctx context.Context) error {
	in := &ec2.ModifySecurityGroupRulesInput{DryRun: sdk.Bool(true), GroupId: &f.groupID}
	in.SecurityGroupRules = append(in.SecurityGroupRules, fromSwap(swap{portsnare.Rule{ID: absentRuleID}, trialOpening}, f.mark))
	_, err := call(ctx, f, f.client.ModifySecurityGroupRules, in)
	return err
}

func (f *Firewall) tryClose(ctx context.Context) error {
	_, err := call(ctx, f, f.client.RevokeSecurityGroupIngress, &ec2.RevokeSecurityGroupIngressInput{
		DryRun: sdk.Bool(true), GroupId: &f.groupID, SecurityGroupRuleIds: []string{absentRuleID},
	})
	return err
}

// allowed reports whether a trial was: EC2 says so, or looks for what the trial
// speaks of and does not find it.
func allowed(err error) bool {
	return codeOf(err) == "DryRunOperation" || errors.Is(err, portsnare.NotFound) || errors.Is(err, portsnare.Conflict)
}

// refused reports whether the credential is known and may not do what was asked.
func refused(err error) bool {
	return slices.Contains([]string{"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}, codeOf(err))
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// Around reports whether a network interface bears the group, and returns what
// the other security groups of such interfaces admit. It needs
// ec2:DescribeNetworkInterfaces, which nothing else does.
func (f *Firewall) Around(ctx context.Context) (attached bool, beside []portsnare.Rule, err error) {
	in := &ec2.DescribeNetworkInterfacesInput{Filters: byGroup(f.groupID), MaxResults: &f.page}
	var others []string
	for {
		out, err := call(ctx, f, f.client.DescribeNetworkInterfaces, in)
		if err != nil {
			return false, nil, hintAt(err)
		}
		for _, at := range out.NetworkInterfaces {
			attached = true
			for _, g := range at.Groups {
				others = append(others, sdk.ToString(g.GroupId))
			}
		}
		if sdk.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	slices.Sort(others)
	others = slices.DeleteFunc(slices.Compact(others), func(id string) bool { return id == f.groupID })
	// A call takes 200 groups.
	for ids := range slices.Chunk(others, 200) {
		listed, err := f.list(ctx, ids...)
		if err != nil {
			return attached, nil, err
		}
		beside = append(beside, inbound(listed)...)
	}
	return attached, beside, nil
}

// hintAt says that the permission is not one of those that are needed.
func hintAt(err error) error {
	if e, ok := errors.AsType[*portsnare.Error](err); ok && refused(err) {
		e.Hint = hintSeeing
	}
	return err
}

package ec2fake_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

func TestRevokeByID(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.add(consoleRule(22))
	six := l.add(ec2fake.Rule{
		Protocol: "udp", FromPort: 53, ToPort: 54, CIDR: netip.MustParsePrefix("2001:db8::/32"), Description: "dns",
	})
	l.add(consoleRule(443))
	group := l.add(ec2fake.Rule{Protocol: "tcp", FromPort: 5432, ToPort: 5432, ReferencedGroupID: l.group})

	out, err := l.revoke(six, group)
	noError(t, err)
	want := []types.RevokedSecurityGroupRule{{
		SecurityGroupRuleId: &six, GroupId: &l.group, IsEgress: aws.Bool(false),
		IpProtocol: aws.String("udp"), FromPort: aws.Int32(53), ToPort: aws.Int32(54),
		CidrIpv6: aws.String("2001:db8::/32"), Description: aws.String("dns"),
	}, {
		SecurityGroupRuleId: &group, GroupId: &l.group, IsEgress: aws.Bool(false),
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(5432), ToPort: aws.Int32(5432),
		ReferencedGroupId: &l.group,
	}}
	if d := cmp.Diff(want, out.RevokedSecurityGroupRules, cmpopts.IgnoreUnexported(types.RevokedSecurityGroupRule{})); d != "" {
		t.Errorf("RevokedSecurityGroupRules (-want +got):\n%s", d)
	}
	if !aws.ToBool(out.Return) {
		t.Error("Return is not true")
	}
	l.wantPorts(22, 443)
}

func TestRevokeByIDRefuses(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	mine := l.add(consoleRule(80))
	other := l.CreateGroup("other")
	elsewhere, err := l.AddRule(other, consoleRule(81))
	noError(t, err)
	outbound := "sgr-00000000000000001"

	tests := []struct {
		name, id, code, message string
	}{
		{"absent", "sgr-0f80c7e764c18b3c0", "InvalidSecurityGroupRuleId.NotFound",
			"The security group rule ID 'sgr-0f80c7e764c18b3c0' does not exist"},
		{"short and absent", "sgr-00000000", "InvalidSecurityGroupRuleId.NotFound",
			"The security group rule ID 'sgr-00000000' does not exist"},
		{"of another group", elsewhere, "InvalidSecurityGroupRuleId.NotFound",
			"The security group rule ID '" + elsewhere + "' does not exist"},
		{"outbound", outbound, "InvalidSecurityGroupRuleId.NotFound",
			"The security group rule ID '" + outbound + "' does not exist"},
		{"not an id", "0.0.0.0/0", "InvalidSecurityGroupRuleId.Malformed", `Invalid id: "0.0.0.0/0" (expecting "sgr-...")`},
		{"too long", "sgr-0123456789abcdef01", "InvalidSecurityGroupRuleId.Malformed",
			`Invalid id: "sgr-0123456789abcdef01" (expecting "sgr-...")`},
		{"twice", mine, "InvalidParameterValue",
			"Duplicated security group rule ID '" + mine + "'. The same security group rule ID must not appear multiple times."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := l.revoke(mine, tt.id)
			wantError(t, err, 400, tt.code, tt.message)
			l.wantPorts(80)
		})
	}
}

func TestRevokeByPermission(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	for _, port := range []int{22, 80, 443} {
		l.add(consoleRule(port))
	}
	revoke := func(in ec2.RevokeSecurityGroupIngressInput) (*ec2.RevokeSecurityGroupIngressOutput, error) {
		in.GroupId = &l.group
		return l.client.RevokeSecurityGroupIngress(context.Background(), &in)
	}

	_, err := revoke(ec2.RevokeSecurityGroupIngressInput{IpPermissions: []types.IpPermission{tcp(80, everyone), tcp(81, everyone)}})
	wantError(t, err, 400, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	_, err = revoke(ec2.RevokeSecurityGroupIngressInput{IpPermissions: []types.IpPermission{tcp(80, "0.0.0.0")}})
	wantError(t, err, 400, "InvalidParameterValue", "CIDR block 0.0.0.0 is malformed")
	_, err = revoke(ec2.RevokeSecurityGroupIngressInput{})
	wantError(t, err, 400, "MissingParameter")
	_, err = revoke(ec2.RevokeSecurityGroupIngressInput{
		IpPermissions: []types.IpPermission{tcp(80, everyone)}, SecurityGroupRuleIds: []string{"sgr-1"},
	})
	wantError(t, err, 400, "InvalidParameterCombination")
	l.wantPorts(22, 80, 443)

	out, err := revoke(ec2.RevokeSecurityGroupIngressInput{IpPermissions: []types.IpPermission{tcp(443, everyone), tcp(22, everyone)}})
	noError(t, err)
	if got := len(out.RevokedSecurityGroupRules); got != 2 {
		t.Errorf("%d rules revoked, want 2", got)
	}
	l.wantPorts(80)
}

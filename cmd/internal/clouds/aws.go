package clouds

import (
	"context"
	"regexp"
	"strconv"

	"github.com/portsnare/portsnare/providers/aws"
)

var _ = add(Cloud{
	Kind: "aws", Rank: 1,
	Keys: []Key{
		{Name: "region", Rank: 1, Narrow: &awsRegion, Doc: "absent, it comes from AWS_REGION or the shared configuration."},
		{Name: "rules", Rank: 3, Sort: Number, Doc: "the quota of inbound rules of a security group, for each IP family, if AWS has raised it."},
	},
	Firewall:    &securityGroup,
	CallTimeout: aws.CallTimeout,
	Open: func(ctx context.Context, t Target) (Firewall, error) {
		return opened(aws.Open(ctx, aws.Options{
			Region: t.Settings.Text("region"), GroupID: t.Firewall, Mark: t.Mark, Former: t.Former,
			Rules: t.Settings.Number("rules"), Timeout: t.Timeout,
		}))
	},
	Limit:  strconv.Itoa(aws.DefaultRules) + ", or `rules` where the quota L-0EA8095F was raised",
	Counts: "inbound rules of the security group, IPv4 and IPv6 each for itself; each source is a rule",
})

// securityGroup is the id of one: 8 hexadecimal digits or, since 2018, 17
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html).
var securityGroup = Form{"a security group's id such as sg-0f3a9c1d2e4b5a687", regexp.MustCompile(`^sg-[0-9a-f]{8}([0-9a-f]{9})?$`)}

// awsRegion: other clouds name regions as they like.
var awsRegion = Form{"a region such as ap-northeast-1", regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)}

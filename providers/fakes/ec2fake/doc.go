// Package ec2fake is an Amazon EC2 endpoint for security groups that runs in
// this process: a real HTTP server that speaks the EC2 query protocol (form in,
// XML out, API version 2016-11-15), so that the real SDK can be driven against
// it by tests and by a demonstration.
//
// It answers DescribeNetworkInterfaces (by group, without pages),
// DescribeSecurityGroups, DescribeSecurityGroupRules,
// AuthorizeSecurityGroupIngress, RevokeSecurityGroupIngress and
// ModifySecurityGroupRules. Where it differs from AWS it refuses more:
//
//   - A parameter that it does not know is UnknownParameter. That includes the
//     old single-rule form of Authorize and Revoke (CidrIp, FromPort, GroupName
//     and so on, outside IpPermissions).
//   - Every write happens whole or not at all. AWS does not say so of a
//     ModifySecurityGroupRules of several rules.
//   - A Modify may not move a rule to where another rule stands when the call
//     comes in, even if the same call moves that other rule away.
//   - A Modify without a Description clears it. What AWS does is not known.
//   - A filter value with a wildcard is refused.
//
// And where it does less:
//
//   - The signature of a request is not verified, as the fake knows no secret
//     keys. The Authorization header must have the form of Signature Version 4,
//     name an access key that the fake knows, and be scoped to its region.
//   - DryRun checks permission and that the group exists, not the rules, as was
//     observed of AWS (aws/aws-sdk-ruby#1716).
//   - The outbound side of a group is the one default rule that admits all, and
//     it cannot be changed. It is listed, because a caller must know how to
//     leave it alone.
//   - A prefix list counts as one rule; AWS counts its entries.
//
// Codes are those of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
// (read 2026-11-21). Messages are AWS's own where one has been seen in public:
// in tests of getmoto/moto that were verified on AWS, or in issues quoted
// beside the message.
//
// # Faults
//
// [Fake.Intercept] takes a [Hook] that is called twice for each request, before
// the fake carries it out and after, and that may block, or answer in the
// fake's place: with an [Error], with [Drop], which closes the connection, or
// with any other http.Handler. A lost reply is a Drop after:
//
//	fake.Intercept(ec2fake.First(1, ec2fake.After, "AuthorizeSecurityGroupIngress", ec2fake.Drop))
//
// [Fake.Freeze] delays what describe calls see.
//
// # The console
//
// [Fake.AddRule], [Fake.EditRule] and [Fake.RemoveRule] are a human at the
// console: the same checks, but no request, so no entry in [Fake.Calls].
package ec2fake

package aws

import (
	"slices"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/portsnare/portsnare"
)

// What EC2 is not known to answer must not look like fewer open ports.
func TestToRanges(t *testing.T) {
	span := func(protocol portsnare.Protocol, from, to uint16) portsnare.PortRange {
		return portsnare.PortRange{Protocol: protocol, From: from, To: to}
	}
	tests := []struct {
		protocol string
		from, to *int32
		want     []portsnare.PortRange
	}{
		{"tcp", sdk.Int32(22), sdk.Int32(22), []portsnare.PortRange{span(portsnare.TCP, 22, 22)}},
		{"6", sdk.Int32(22), sdk.Int32(23), []portsnare.PortRange{span(portsnare.TCP, 22, 23)}},
		{"17", sdk.Int32(0), sdk.Int32(9), []portsnare.PortRange{span(portsnare.UDP, 1, 9)}},
		{"tcp", sdk.Int32(0), sdk.Int32(0), []portsnare.PortRange{{}}},
		{"tcp", sdk.Int32(-1), sdk.Int32(-1), []portsnare.PortRange{span(portsnare.TCP, 1, 65535)}},
		{"udp", nil, nil, []portsnare.PortRange{span(portsnare.UDP, 1, 65535)}},
		{"-1", nil, nil, []portsnare.PortRange{span(portsnare.TCP, 1, 65535), span(portsnare.UDP, 1, 65535)}},
		{"icmp", sdk.Int32(8), sdk.Int32(0), []portsnare.PortRange{{}}},
		{"132", nil, nil, []portsnare.PortRange{{}}},
	}
	for _, tt := range tests {
		got := toRanges(types.SecurityGroupRule{IpProtocol: &tt.protocol, FromPort: tt.from, ToPort: tt.to})
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s %v-%v: %v, want %v", tt.protocol, tt.from, tt.to, got, tt.want)
		}
	}
}

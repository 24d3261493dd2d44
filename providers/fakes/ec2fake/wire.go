package ec2fake

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// What every group of the fake belongs to.
const (
	accountID = "123456789012"
	vpcID     = "vpc-00000000000000001"
)

const (
	requestIDHeader = "X-Amzn-Requestid"
	namespace       = "http://ec2.amazonaws.com/doc/" + apiVersion + "/"
)

// A response is the reply to any of the actions, each of which sets what it
// has.
type response struct {
	committed bool // a group was changed

	XMLName    xml.Name        // <action>Response
	RequestID  string          `xml:"requestId"`
	Return     *bool           `xml:"return,omitempty"`
	Groups     []wireGroup     `xml:"securityGroupInfo>item"`
	Rules      []wireRule      `xml:"securityGroupRuleSet>item"`
	Revoked    []wireRevoke    `xml:"revokedSecurityGroupRuleSet>item"`
	Interfaces []wireInterface `xml:"networkInterfaceSet>item"`
	NextToken  string          `xml:"nextToken,omitempty"`
}

// ServeHTTP writes the reply.
func (r response) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.RequestID = w.Header().Get(requestIDHeader)
	writeXML(w, http.StatusOK, r)
}

func writeXML(w http.ResponseWriter, status int, body any) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(body); err != nil {
		panic(fmt.Sprintf("ec2fake: a reply cannot be encoded: %v", err)) // a type here is wrong
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("Server", "AmazonEC2")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // the client may be gone; the change stands all the same
}

type wireTag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

type wireReferencedGroup struct {
	GroupID string `xml:"groupId"`
	UserID  string `xml:"userId"`
}

type wireRule struct {
	ID              string               `xml:"securityGroupRuleId"`
	ARN             string               `xml:"securityGroupRuleArn"`
	GroupID         string               `xml:"groupId"`
	GroupOwnerID    string               `xml:"groupOwnerId"`
	IsEgress        bool                 `xml:"isEgress"`
	Protocol        string               `xml:"ipProtocol"`
	FromPort        int                  `xml:"fromPort"`
	ToPort          int                  `xml:"toPort"`
	CIDRIPv4        string               `xml:"cidrIpv4,omitempty"`
	CIDRIPv6        string               `xml:"cidrIpv6,omitempty"`
	PrefixListID    string               `xml:"prefixListId,omitempty"`
	ReferencedGroup *wireReferencedGroup `xml:"referencedGroupInfo"`
	Description     string               `xml:"description,omitempty"`
	Tags            []wireTag            `xml:"tagSet>item"`
}

func (s *store) wireRule(r Rule, egress bool) wireRule {
	w := wireRule{
		ID:           r.ID,
		ARN:          fmt.Sprintf("arn:aws:ec2:%s:%s:security-group-rule/%s", s.region, accountID, r.ID),
		GroupID:      r.GroupID,
		GroupOwnerID: accountID,
		IsEgress:     egress,
		Protocol:     r.Protocol,
		FromPort:     r.FromPort,
		ToPort:       r.ToPort,
		Description:  r.Description,
	}
	switch r.kind() {
	case cidrIPv4:
		w.CIDRIPv4 = r.source()
	case cidrIPv6:
		w.CIDRIPv6 = r.source()
	case prefixList:
		w.PrefixListID = r.source()
	case referencedGroup:
		w.ReferencedGroup = &wireReferencedGroup{r.source(), accountID}
	}
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		w.Tags = append(w.Tags, wireTag{key, r.Tags[key]})
	}
	return w
}

func (s *store) wireRules(rules []Rule) []wireRule {
	var out []wireRule
	for _, r := range rules {
		out = append(out, s.wireRule(r, false))
	}
	return out
}

func (s *store) wireListed(rules []listedRule) []wireRule {
	var out []wireRule
	for _, r := range rules {
		out = append(out, s.wireRule(r.Rule, r.egress))
	}
	return out
}

// wireRevoke is a revoked rule, which AWS spells a little differently.
type wireRevoke struct {
	ID                string `xml:"securityGroupRuleId"`
	GroupID           string `xml:"groupId"`
	IsEgress          bool   `xml:"isEgress"`
	Protocol          string `xml:"ipProtocol"`
	FromPort          int    `xml:"fromPort"`
	ToPort            int    `xml:"toPort"`
	CIDRIPv4          string `xml:"cidrIpv4,omitempty"`
	CIDRIPv6          string `xml:"cidrIpv6,omitempty"`
	PrefixListID      string `xml:"prefixListId,omitempty"`
	ReferencedGroupID string `xml:"referencedGroupId,omitempty"`
	Description       string `xml:"description,omitempty"`
}

func (s *store) wireRevoked(rules []Rule) []wireRevoke {
	var out []wireRevoke
	for _, r := range rules {
		w := s.wireRule(r, false)
		out = append(out, wireRevoke{
			ID: w.ID, GroupID: w.GroupID, Protocol: w.Protocol, FromPort: w.FromPort, ToPort: w.ToPort,
			CIDRIPv4: w.CIDRIPv4, CIDRIPv6: w.CIDRIPv6, PrefixListID: w.PrefixListID,
			ReferencedGroupID: r.ReferencedGroupID, Description: w.Description,
		})
	}
	return out
}

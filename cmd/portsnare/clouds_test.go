package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
	"github.com/portsnare/portsnare/providers/fakes/vultrfake"
)

// Each cloud has the same firewalls: the first admits 8443/tcp, as somebody else
// wants it; the second holds nothing and is attached beside the first; the third
// is attached to nothing; the fourth is full of rules of others. On Vultr, where
// an instance belongs to one group, the second is beside nothing. The fourth of
// DigitalOcean is full of outbound rules, and the first is named as ours are not.
// The fifth of AWS holds openings with marks of Portsnare.
//
// Who may not do everything. A stranger is known to no cloud, an idler may do
// nothing, a reader may not write, the blind see firewalls alone.
const (
	strangerKey = "AKIASTRANGER00000000"
	idlerKey    = "AKIAIDLER00000000000"
	readerKey   = "AKIAREADER0000000000"
	blindKey    = "AKIABLIND00000000000"
)

// serveClouds gives a script an endpoint of each cloud, and the environment that
// leads there.
func serveClouds(env *testscript.Env) error {
	ec2, err := newEC2()
	if err != nil {
		return err
	}
	do, err := newDigitalOcean()
	if err != nil {
		return err
	}
	vultr, err := newVultr()
	if err != nil {
		return err
	}
	for name, h := range map[string]http.Handler{
		"AWS_ENDPOINT_URL_EC2": ec2, "DIGITALOCEAN_API_URL": do, "VULTR_API_ENDPOINT": vultr,
	} {
		server := httptest.NewServer(h)
		env.Defer(server.Close)
		env.Setenv(name, server.URL)
	}
	for name, value := range map[string]string{
		"STRANGER": strangerKey, "IDLER": idlerKey, "READER": readerKey, "BLIND": blindKey,
		"AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID":         ec2fake.DefaultAccessKeyID, "AWS_SECRET_ACCESS_KEY": "not-a-secret",
		"DIGITALOCEAN_TOKEN": dofake.DefaultToken, "VULTR_API_KEY": vultrfake.DefaultAPIKey,
	} {
		env.Setenv(name, value)
	}
	return nil
}

func newEC2() (http.Handler, error) {
	reads := []string{"DescribeSecurityGroups", "DescribeSecurityGroupRules"}
	fake := ec2fake.New(ec2fake.Options{
		Region: "ap-northeast-1", EmptyRegions: []string{"us-east-1"},
		AccessKeyIDs: []string{ec2fake.DefaultAccessKeyID, idlerKey, readerKey, blindKey},
		Allow: func(key, action string) bool {
			switch key {
			case idlerKey:
				return false
			case readerKey:
				return slices.Contains(reads, action)
			case blindKey:
				return action != "DescribeNetworkInterfaces"
			}
			return true
		},
	})
	web, beside, _, full := fake.CreateGroup("web"), fake.CreateGroup("beside"), fake.CreateGroup("idle"), fake.CreateGroup("full")
	strays := fake.CreateGroup("strays")
	fake.Attach(web, beside)
	fake.Attach(full)
	for i, mark := range []string{"tokyo/old", "osaka/web", "former"} {
		trap := ec2fake.Rule{Protocol: "tcp", FromPort: 5000 + i, ToPort: 5000 + i, CIDR: portsnare.AnySource()[0], Tags: map[string]string{"portsnare": mark}}
		if _, err := fake.AddRule(strays, trap); err != nil {
			return nil, err
		}
	}
	for _, source := range portsnare.AnySource() {
		if _, err := fake.AddRule(web, ec2fake.Rule{Protocol: "tcp", FromPort: 8443, ToPort: 8443, CIDR: source}); err != nil {
			return nil, err
		}
		for port := 8443; port < 8443+59; port++ {
			if _, err := fake.AddRule(full, ec2fake.Rule{Protocol: "tcp", FromPort: port, ToPort: port, CIDR: source}); err != nil {
				return nil, err
			}
		}
	}
	return fake, nil
}

func newDigitalOcean() (http.Handler, error) {
	fake := dofake.New(dofake.Options{
		Tokens: map[string][]string{
			dofake.DefaultToken: dofake.Scopes,
			idlerKey:            nil,
			readerKey:           {"firewall:read", "droplet:read", "tag:read"},
			blindKey:            {"firewall:read", "firewall:update"},
		},
		Droplets:  map[int][]string{101: {"web"}, 102: {"full"}},
		Unmetered: true,
	})
	out := dofake.OpenOutbound()
	var fullOut []dofake.Rule
	for port := 9000; len(fullOut) < 48; port++ {
		fullOut = append(fullOut, dofake.Rule{Protocol: "tcp", Ports: strconv.Itoa(port), Action: "allow",
			Destinations: &dofake.Target{Addresses: []string{"0.0.0.0/0"}}})
	}
	everyone := &dofake.Target{Addresses: []string{"0.0.0.0/0", "::/0"}}
	for _, fw := range []dofake.Firewall{
		{Name: "services", Outbound: out, Tags: []string{"web"},
			Inbound: []dofake.Rule{{Protocol: "tcp", Ports: "8443", Action: "allow", Sources: everyone}}},
		{Name: "portsnare-web", Outbound: out, Tags: []string{"web"}},
		{Name: "portsnare-idle", Outbound: out},
		{Name: "portsnare-full", Outbound: fullOut, Tags: []string{"full"}},
	} {
		if _, err := fake.AddFirewall(fw); err != nil {
			return nil, err
		}
	}
	return fake, nil
}

func newVultr() (http.Handler, error) {
	fake := vultrfake.New(vultrfake.Options{
		APIKeys: []string{vultrfake.DefaultAPIKey, idlerKey, readerKey},
		Allow: func(key, action string) bool {
			return key != idlerKey && (key != readerKey || action != vultrfake.CreateRule)
		},
		Rate: -1,
	})
	web, _, idle, full := fake.CreateGroup("web"), fake.CreateGroup("beside"), fake.CreateGroup("idle"), fake.CreateGroup("full")
	fake.Detach(idle)
	for _, source := range portsnare.AnySource() {
		if _, err := fake.AddRule(web, vultrfake.Rule{Protocol: "tcp", Port: "8443", Subnet: source}); err != nil {
			return nil, err
		}
		for port := 8443; port < 8443+24; port++ {
			if _, err := fake.AddRule(full, vultrfake.Rule{Protocol: "tcp", Port: strconv.Itoa(port), Subnet: source}); err != nil {
				return nil, err
			}
		}
	}
	return fake, nil
}

package openstack

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/gophercloud/gophercloud/v2"
	sdk "github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/config"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
)

// variables are the names by which an openrc file says what clouds.yaml says
// in its auth section, first choice first
// (https://docs.openstack.org/python-openstackclient/latest/cli/man/openstack.html#environment-variables,
// checked 2026-11-21). The older names are those that the SDK reads too.
var variables = map[string][]string{
	"auth_url":                      {"OS_AUTH_URL"},
	"username":                      {"OS_USERNAME"},
	"user_id":                       {"OS_USER_ID", "OS_USERID"},
	"password":                      {"OS_PASSWORD"},
	"token":                         {"OS_TOKEN"},
	"application_credential_id":     {"OS_APPLICATION_CREDENTIAL_ID"},
	"application_credential_name":   {"OS_APPLICATION_CREDENTIAL_NAME"},
	"application_credential_secret": {"OS_APPLICATION_CREDENTIAL_SECRET"},
	"project_id":                    {"OS_PROJECT_ID", "OS_TENANT_ID"},
	"project_name":                  {"OS_PROJECT_NAME", "OS_TENANT_NAME"},
	"user_domain_id":                {"OS_USER_DOMAIN_ID"},
	"user_domain_name":              {"OS_USER_DOMAIN_NAME"},
	"project_domain_id":             {"OS_PROJECT_DOMAIN_ID"},
	"project_domain_name":           {"OS_PROJECT_DOMAIN_NAME"},
	"domain_id":                     {"OS_DOMAIN_ID"},
	"domain_name":                   {"OS_DOMAIN_NAME"},
	"system_scope":                  {"OS_SYSTEM_SCOPE"},
}

// login is how to reach the network service of one region of one cloud. It logs
// in when somebody first asks for the client, and keeps what it got.
type login struct {
	auth   gophercloud.AuthOptions
	region gophercloud.EndpointOpts
	tls    *tls.Config

	turn  chan struct{} // holds what follows, for one at a time
	ready *gophercloud.ServiceClient
}

// loginByEnvironment reads clouds.yaml where a cloud is named, else the
// variables of an openrc file as if clouds.yaml said the same.
func loginByEnvironment(cloud, region string) (*login, error) {
	var options []clouds.ParseOption
	if region != "" {
		options = append(options, clouds.WithRegion(region))
	}
	if cloud = cmp.Or(cloud, os.Getenv("OS_CLOUD")); cloud == "" {
		const openrc = "openrc"
		file, err := cloudsFile(openrc)
		if err != nil {
			return nil, err
		}
		cloud, options = openrc, append(options, clouds.WithCloudsYAML(bytes.NewReader(file)))
	}
	auth, endpoint, tlsConfig, err := clouds.Parse(append(options, clouds.WithCloudName(cloud))...)
	if err != nil {
		return nil, err
	}
	auth.AllowReauth = auth.TokenID == "" // a token that has run out cannot be had anew by itself
	return &login{auth: auth, region: endpoint, tls: tlsConfig, turn: make(chan struct{}, 1)}, nil
}

// cloudsFile is what clouds.yaml would say in the place of the variables. JSON
// is YAML.
func cloudsFile(cloud string) ([]byte, error) {
	auth := make(map[string]string)
	for key, names := range variables {
		for _, name := range names {
			if value := os.Getenv(name); value != "" && auth[key] == "" {
				auth[key] = value
			}
		}
	}
	if auth["auth_url"] == "" {
		return nil, errors.New("neither OS_CLOUD nor OS_AUTH_URL is set")
	}
	return json.Marshal(map[string]any{"clouds": map[string]any{cloud: map[string]any{"auth": auth}}})
}

func (l *login) client(ctx context.Context) (*gophercloud.ServiceClient, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, &loginError{ctx.Err()}
	}
	if l.ready != nil {
		return l.ready, nil
	}
	bounded := &boundTransport{next: l.transport()}
	bounded.login.Store(&ctx)
	defer bounded.login.Store(nil)
	provider, err := config.NewProviderClient(ctx, l.auth, config.WithHTTPClient(http.Client{Transport: bounded}))
	if err != nil {
		return nil, &loginError{err}
	}
	network, err := sdk.NewNetworkV2(provider, l.region)
	if err != nil {
		return nil, &loginError{err}
	}
	l.ready = network
	return network, nil
}

func (l *login) transport() http.RoundTripper {
	shared, ok := http.DefaultTransport.(*http.Transport)
	if l.tls == nil || !ok {
		return http.DefaultTransport
	}
	own := shared.Clone()
	own.TLSClientConfig = l.tls
	return own
}

// boundTransport lets no request of a login outlive it: the SDK asks the network
// service for its version without a context.
type boundTransport struct {
	next  http.RoundTripper
	login atomic.Pointer[context.Context] // that of the login under way, or nil
}

func (b *boundTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if ctx := b.login.Load(); ctx != nil {
		r = r.WithContext(*ctx)
	}
	return b.next.RoundTrip(r)
}

// loginError makes it plain by type that a call did not get as far as Neutron.
type loginError struct{ err error }

func (e *loginError) Error() string { return e.err.Error() }
func (e *loginError) Unwrap() error { return e.err }

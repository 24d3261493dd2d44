package aws_test

import (
	"context"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/aws"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// environment makes a machine that knows nothing of AWS but where EC2 is, and
// the variables given as pairs.
func environment(t *testing.T, l *lab, pairs ...string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // and back again at the end
			noError(t, os.Unsetenv(name))
		}
	}
	home := t.TempDir()
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
	t.Setenv("AWS_ENDPOINT_URL_EC2", l.url)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for i := 0; i < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
}

// key is the pairs of a key that the lab knows.
var key = []string{"AWS_ACCESS_KEY_ID", ec2fake.DefaultAccessKeyID, "AWS_SECRET_ACCESS_KEY", "secret"}

func TestOpenByTheEnvironment(t *testing.T) {
	l := newLab(t, ec2fake.Options{Region: "eu-central-1"})
	environment(t, l, append(key, "AWS_REGION", "eu-central-1", "AWS_MAX_ATTEMPTS", "5")...)
	f, err := aws.Open(context.Background(), aws.Options{GroupID: l.group, Mark: mark})
	noError(t, err)
	rules, err := f.Rules(context.Background())
	noError(t, err)
	if len(rules) != len(l.foreign) {
		t.Errorf("%d rules, want %d", len(rules), len(l.foreign))
	}

	before := len(l.ec2.Calls())
	l.ec2.Intercept(ec2fake.First(9, ec2fake.Before, "", ec2fake.Unavailable))
	_, err = f.Rules(context.Background())
	wantError(t, err, portsnare.Transient, "", "")
	if got := len(l.ec2.Calls()) - before; got != 1 {
		t.Errorf("%d calls, want 1 whatever AWS_MAX_ATTEMPTS says", got)
	}
}

func TestOpenByProfileAndOptions(t *testing.T) {
	l := newLab(t, ec2fake.Options{Region: "eu-central-1"})
	environment(t, l, "AWS_PROFILE", "traps", "AWS_REGION", "us-west-2")
	writeFile(t, os.Getenv("AWS_SHARED_CREDENTIALS_FILE"),
		"[traps]\naws_access_key_id = "+ec2fake.DefaultAccessKeyID+"\naws_secret_access_key = secret\n")
	f, err := aws.Open(context.Background(), aws.Options{Region: "eu-central-1", GroupID: l.group, Mark: mark, Rules: 100})
	noError(t, err)
	_, err = f.Rules(context.Background())
	noError(t, err)
	limits, err := f.Limits(context.Background())
	noError(t, err)
	if want := (portsnare.Limits{Rules: 100, PerFamily: true, InPlace: true}); limits != want {
		t.Errorf("limits %+v, want %+v", limits, want)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	noError(t, os.WriteFile(path, []byte(text), 0o600))
}

// Behind a proxy with a certificate authority of its own, AWS_CA_BUNDLE names
// it. The SDK takes that only with the HTTP client that it makes itself.
func TestOpenWithCABundle(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	server := httptest.NewTLSServer(l.ec2)
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, bundle, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	environment(t, l, append(key, "AWS_REGION", "us-east-1", "AWS_CA_BUNDLE", bundle, "AWS_ENDPOINT_URL_EC2", server.URL)...)
	f, err := aws.Open(context.Background(), aws.Options{GroupID: l.group, Mark: mark})
	noError(t, err)
	_, err = f.Rules(context.Background())
	noError(t, err)
}

func TestOpenRefuses(t *testing.T) {
	const group = "sg-0f3a9c1d2e4b5a687"
	tests := []struct {
		name        string
		environment []string
		options     aws.Options
		text, hint  string
	}{
		{"a name for an id", nil, aws.Options{GroupID: "web", Mark: mark},
			"aws: open security group web: want an id such as sg-0f3a9c1d2e4b5a687",
			"set the group's `firewall` to the id of the security group, not its name"},
		{"no mark", nil, aws.Options{GroupID: group}, "aws: open security group " + group + ": an owner mark is needed", ""},
		{"a quota below 0", nil, aws.Options{GroupID: group, Mark: mark, Rules: -1},
			"aws: open security group " + group + ": a quota of -1 rules cannot be", ""},
		{"no region", nil, aws.Options{GroupID: group, Mark: mark},
			"aws: find the region of " + group + ": no region is set",
			"set the provider's `region`, such as eu-central-1, or AWS_REGION"},
		{"an absent profile", []string{"AWS_PROFILE", "nobody"}, aws.Options{GroupID: group, Mark: mark},
			"aws: read the AWS configuration: failed to get shared config profile, nobody",
			"look at AWS_PROFILE, AWS_CA_BUNDLE and the files ~/.aws/config and ~/.aws/credentials"},
		{"an absent CA bundle", []string{"AWS_CA_BUNDLE", "/absent"}, aws.Options{GroupID: group, Mark: mark}, "",
			"look at AWS_PROFILE, AWS_CA_BUNDLE and the files ~/.aws/config and ~/.aws/credentials"},
	}
	l := newLab(t, ec2fake.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environment(t, l, tt.environment...)
			_, err := aws.Open(context.Background(), tt.options)
			wantError(t, err, portsnare.Invalid, tt.text, tt.hint)
		})
	}
}

const hintCredentials = "give AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"

func TestNoCredentials(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	environment(t, l, "AWS_REGION", "us-east-1")
	f, err := aws.Open(context.Background(), aws.Options{GroupID: l.group, Mark: mark})
	noError(t, err)
	_, err = f.Rules(context.Background())
	wantError(t, err, portsnare.Denied, "", hintCredentials)
	if want := "aws: read the rules of " + l.group + ": no usable credentials: "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %q, want it to begin with %q", err, want)
	}
	if got := len(l.ec2.Calls()); got != 0 {
		t.Errorf("%d calls were made without credentials", got)
	}
}

// Somebody who takes the place of the role service and never answers holds a
// call no longer than EC2 itself would.
func TestNoCredentialsEndsSoon(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer mute.Close() //nolint:errcheck // nothing is lost with it
	l := newLab(t, ec2fake.Options{})
	environment(t, l, "AWS_REGION", "us-east-1", "AWS_EC2_METADATA_DISABLED", "false",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+mute.Addr().String())
	f, err := aws.Open(context.Background(), aws.Options{GroupID: l.group, Mark: mark})
	noError(t, err)
	f.SetTimeout(500 * time.Millisecond)
	_, err = f.Rules(context.Background())
	wantError(t, err, portsnare.Denied, "", hintCredentials)
}

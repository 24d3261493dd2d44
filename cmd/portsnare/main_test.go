package main

import (
	"errors"
	"flag"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

var update = flag.Bool("update", false, "write golden files and generated documentation anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"portsnare": main})
}

// TestScripts runs testdata/*.txtar, one behaviour a file. Beside the usual
// commands there is `exits CODE PROGRAM [ARG...]`. Each script has an EC2
// endpoint of its own with the security group $GROUP, which admits 8443/tcp.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup:               serveEC2,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
		},
	})
}

// strangerKey signs and may read, and is not allowed to do more; idlerKey is
// not even allowed that.
const (
	strangerKey = "AKIASTRANGER00000000"
	idlerKey    = "AKIAIDLER00000000000"
)

func serveEC2(env *testscript.Env) error {
	fake := ec2fake.New(ec2fake.Options{
		Region: "ap-northeast-1", EmptyRegions: []string{"us-east-1"},
		AccessKeyIDs: []string{ec2fake.DefaultAccessKeyID, idlerKey},
		Allow:        func(key, _ string) bool { return key != idlerKey },
	})
	server := httptest.NewServer(fake)
	env.Defer(server.Close)
	group := fake.CreateGroup("web")
	for _, source := range portsnare.AnySource() {
		if _, err := fake.AddRule(group, ec2fake.Rule{Protocol: "tcp", FromPort: 8443, ToPort: 8443, CIDR: source}); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{
		"GROUP": group, "STRANGER": strangerKey, "IDLER": idlerKey,
		"AWS_ENDPOINT_URL_EC2": server.URL, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": ec2fake.DefaultAccessKeyID, "AWS_SECRET_ACCESS_KEY": "not-a-secret",
	} {
		env.Setenv(name, value)
	}
	return nil
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d: want %d", got, want)
	}
}

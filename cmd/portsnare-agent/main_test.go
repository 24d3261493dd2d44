package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/portsnare/portsnare"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"portsnare-agent": main})
}

// TestScripts runs testdata/*.txtar, one behaviour a file. $TOKEN is one that
// joins, as web-1, a controller that does not exist.
func TestScripts(t *testing.T) {
	token := portsnare.Token{Host: "web-1", URLs: []string{"tls://192.0.2.1:4222"}, CA: []byte{1}, Seed: "SUA"}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TOKEN", token.String())
			return nil
		},
	})
}

package main

import (
	"testing"

	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/cmd/internal/reference"
)

func TestReference(t *testing.T) {
	sections := []struct{ name, want string }{
		{"portsnare", reference.Commands(newRoot())},
		{"configuration", reference.Configuration(config.Keys())},
	}
	for _, s := range sections {
		if err := reference.Sync("../../docs/reference.md", s.name, s.want, *update); err != nil {
			t.Error(err)
		}
	}
}

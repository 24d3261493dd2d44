package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/rotator"
)

// TestUnknownFirewall: nothing can be read where nobody knows the firewall, and the
// hint names the group and its mark. Trying again is no use.
func TestUnknownFirewall(t *testing.T) {
	_, err := openPlace(t.Context(), config.Config{}, rotator.Unknown, "web").Rules(t.Context())
	if !errors.Is(err, portsnare.Invalid) || portsnare.Retryable(err) || !strings.Contains(err.Error(), "group web") {
		t.Errorf("error %v", err)
	}
	if hint := portsnare.HintOf(err); !strings.Contains(hint, "put group web back") || !strings.Contains(hint, "the mark web,") {
		t.Errorf("hint %q", hint)
	}
}

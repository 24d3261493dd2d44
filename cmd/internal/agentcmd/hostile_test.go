package agentcmd

import (
	"testing"

	"github.com/portsnare/portsnare/cmd/internal/clitest"
)

// TestHostileText: what the kernel and the controller have said cannot harm who reads
// an answer.
func TestHostileText(t *testing.T) { clitest.Answers(t, &statusAnswer{}) }

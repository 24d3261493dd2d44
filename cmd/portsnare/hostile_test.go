package main

import (
	"testing"

	"github.com/portsnare/portsnare/cmd/internal/clitest"
)

// TestHostileText: what hosts and clouds have said cannot harm who reads an answer.
func TestHostileText(t *testing.T) {
	clitest.Answers(t, &checkAnswer{}, &checkup{}, &statusAnswer{}, &bansAnswer{}, &planAnswer{}, &rotateAnswer{}, &enrollAnswer{})
}

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/portsnare/portsnare/providers/aws"
)

// TestPolicyInDocs: the policy to be pasted is the one that the provider tests.
func TestPolicyInDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```json\n"+strings.TrimSpace(aws.Policy)+"\n```") {
		t.Error("docs/aws.md does not hold providers/aws/policy.json as it is")
	}
}

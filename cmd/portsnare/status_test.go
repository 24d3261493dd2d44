package main

import (
	"strings"
	"testing"

	"github.com/portsnare/portsnare/rotator"
)

// TestStatusText: what an operator must know is in the text and not in the JSON alone.
func TestStatusText(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer statusAnswer
		want   string
	}{
		{"the controller's own problem", statusAnswer{Problems: []problemAnswer{{"disk full", "make room"}}},
			"\ncontroller: disk full\nhint: make room\n"},
		{"a group on its way out", statusAnswer{Groups: []rotator.Status{{Group: "web", Retired: true, Traps: 7}}},
			"\nweb: no longer configured; its openings are being closed\n"},
		{"a group that is gone", statusAnswer{Groups: []rotator.Status{{Group: "web", Retired: true}}},
			"\nweb: no longer configured; nothing of it is open any more\n"},
		{"another owner's openings", statusAnswer{Groups: []rotator.Status{{Group: "web", Strays: []rotator.Stray{{Mark: "osaka/web", Openings: 2}}}}},
			"\nweb: 2 openings with the mark \"osaka/web\", which is not the group's\n"},
		{"a problem", statusAnswer{Groups: []rotator.Status{{Group: "web", Problem: "arm web-2: no report", Hint: "look there"}}},
			"\nweb: arm web-2: no report\nhint: look there\n"},
		{"a kernel that others change", statusAnswer{Groups: []rotator.Status{{Group: "web", Hosts: []rotator.HostStatus{{Host: "web-1", Repairs: 3}}}}},
			"3 repairs of its kernel, which others change\n"},
	} {
		var text strings.Builder
		if err := tt.answer.WriteText(&text); err != nil || !strings.Contains(text.String(), tt.want) {
			t.Errorf("%s: %v, got\n%s\nwant in it\n%s", tt.name, err, text.String(), tt.want)
		}
	}
}

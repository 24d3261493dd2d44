package portsnare

import "testing"

func TestMark(t *testing.T) {
	for _, tt := range []struct {
		mark         Mark
		owner, group string
	}{
		{NewMark("3f9a2c01", "web"), "3f9a2c01", "web"},
		{"web", "", "web"}, // of the first version
		{"", "", ""},
	} {
		if got := tt.mark.Owner(); got != tt.owner {
			t.Errorf("owner of %q: %q, want %q", tt.mark, got, tt.owner)
		}
		if got := tt.mark.Group(); got != tt.group {
			t.Errorf("group of %q: %q, want %q", tt.mark, got, tt.group)
		}
	}
	if a, b := NewMark("tokyo", "web"), NewMark("osaka", "web"); a == b {
		t.Error("groups of one name share a mark")
	}
}

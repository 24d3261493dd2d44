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

func TestParseMark(t *testing.T) {
	for _, good := range []string{"tokyo/web", "web", "3f9a2c01/web-2"} {
		if got, err := ParseMark(good); err != nil || string(got) != good {
			t.Errorf("ParseMark(%q) = %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", "/", "/web", "tokyo/", "tokyo/web/2", "tokyo.web", "Tokyo/web", "-tokyo/web", "tokyo web", "tokyo/web\n"} {
		if got, err := ParseMark(bad); KindOf(err) != Invalid {
			t.Errorf("ParseMark(%q) = %q, %v; want an error of kind %q", bad, got, err, Invalid)
		}
	}
}

package hostagent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/portsnare/portsnare"
)

// Auto is the setting that leaves the choice of a backend to [Choose].
const Auto = "auto"

// Candidate is a backend that [Choose] may take.
type Candidate struct {
	Name    string // as in a setting, and in a report
	Backend Backend
	Check   func(context.Context) error // nil if the backend can work here
}

// Choose returns the candidate that the setting names or, for [Auto], the first
// that can work here. A name that no candidate has is an error of kind Invalid.
// Where nothing can work, the error is that of the first candidate asked.
func Choose(ctx context.Context, setting string, candidates ...Candidate) (Candidate, error) {
	var first error
	names := []string{Auto}
	for _, c := range candidates {
		names = append(names, c.Name)
		if setting != Auto && setting != c.Name {
			continue
		}
		err := c.Check(ctx)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = fmt.Errorf("backend %s: %w", c.Name, err)
		}
	}
	if first != nil {
		return Candidate{}, first
	}
	return Candidate{}, &portsnare.Error{
		Kind: portsnare.Invalid, Op: "choose backend", Subject: setting,
		Err: errors.New("want " + strings.Join(names, ", ")),
	}
}

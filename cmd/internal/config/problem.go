package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
)

// Problem is one thing that is wrong with a configuration, and where.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // from 1, in characters
	Key     string `json:"key"`    // such as "groups.web.hosts[0]"; "" for the file as a whole
	Message string `json:"message"`

	source string // the line itself, without what may be a secret
	caret  int    // where in source the problem is, in characters from 1
}

// Error returns the place and the message, and under it the line with a caret.
func (p *Problem) Error() string {
	key := p.Key
	if key != "" {
		key += ": "
	}
	return fmt.Sprintf("%s: %s%s\n%7d | %s\n%7s | %s^",
		p.Position(), key, p.Message, p.Line, p.source, "", p.indent())
}

// Position returns "file:line:column", as editors read it.
func (p *Problem) Position() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Unwrap makes a Problem an error of kind Invalid.
func (p *Problem) Unwrap() error {
	return &portsnare.Error{Kind: portsnare.Invalid, Err: errors.New(p.Message)}
}

// indent returns as much white space as stands before the caret, tabs kept.
func (p *Problem) indent() string {
	var b strings.Builder
	column := 1
	for _, char := range p.source {
		if column++; column > p.caret {
			break
		}
		if char != '\t' {
			char = ' '
		}
		b.WriteRune(char)
	}
	return b.String()
}

// Problems is everything that is wrong with a configuration, in the order of
// the file; at least one.
type Problems []*Problem

// sort puts the problems into the order of the file.
func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Error returns the problems one under the other.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each problem.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, problem := range p {
		errs[i] = problem
	}
	return errs
}

// meant returns ": did you mean x?" for the known word closest to a mistyped
// one, or what is known where none is close.
func meant(word string, known []string) string {
	best, closest := "", 3 // edits from which on two words are just different
	for _, k := range known {
		if d := edits(word, k); d < closest && d < len(word) {
			best, closest = k, d
		}
	}
	if best == "" {
		return ": want " + either(known)
	}
	return ": did you mean " + best + "?"
}

// either returns "a", "a or b" or "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// edits returns how many characters must be added, taken or replaced to turn a
// into b: their Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1) // row[j]: from the part of a seen so far to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

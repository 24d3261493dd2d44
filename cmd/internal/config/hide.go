package config

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Secrets have no place in the file, but people put them there. What may be one is
// shown neither in a message nor in the line under it: what stands under a key that
// is not known, under one that is named like a secret, and under one that comes twice.

// hidden is what stands for it.
const hidden = "..."

// place is a position in the text: a line and a column, both from 1.
type place struct{ line, column int }

func (p place) before(q place) bool {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column)) < 0
}

func placeOf(at *token.Position) place { return place{at.Line, at.Column} }

// region is a part of the text, the end not in it.
type region struct{ begin, end place }

var secretName = regexp.MustCompile(`(?i)token|secret|passw|passphrase|pwd|key|credential|seed|auth|private|bearer|cookie`)

// hide records that the value may be a secret.
func (n node) hide() {
	if r, ok := regionOf(n.raw); ok && !slices.Contains(n.file.hidden, r) {
		n.file.hidden = append(n.file.hidden, r)
	}
}

// hideNamed hides a value for its key's name, unless it is a mapping, whose own keys
// decide.
func (n node) hideNamed(name string) {
	if !secretName.MatchString(name) {
		return
	}
	if _, mapped := n.body.(*ast.MappingNode); !mapped {
		n.hide()
	}
}

// regionOf returns where a value is, up to what comes after it.
func regionOf(value ast.Node) (region, bool) {
	first, last := ends(value)
	if first == nil {
		return region{}, false
	}
	r := region{placeOf(first.Position), place{1 << 30, 1}}
	for next := last.Next; next != nil; next = next.Next {
		if next.Type == token.CommentType { // about the value, perhaps
			continue
		}
		// The token of a text block that follows a header lies before it.
		if at := placeOf(next.Position); placeOf(last.Position).before(at) {
			r.end = at
			break
		}
	}
	return r, true
}

// ends returns the first and the last token of a value.
func ends(value ast.Node) (first, last *token.Token) {
	if value == nil {
		return nil, nil
	}
	note := func(tk *token.Token) {
		if tk == nil || tk.Position == nil {
			return
		}
		if first == nil || placeOf(tk.Position).before(placeOf(first.Position)) {
			first = tk
		}
		if last == nil || placeOf(last.Position).before(placeOf(tk.Position)) {
			last = tk
		}
	}
	ast.Walk(visit(func(n ast.Node) {
		note(n.GetToken())
		switch n := n.(type) {
		case *ast.MappingNode:
			note(n.End)
		case *ast.SequenceNode:
			note(n.End)
		}
	}), value)
	return first, last
}

// hideComments hides the comments that speak of secrets.
func (f *file) hideComments(tokens token.Tokens) {
	for _, tk := range tokens {
		if tk.Type == token.CommentType && secretName.MatchString(tk.Value) {
			begin := placeOf(tk.Position)
			f.hidden = append(f.hidden, region{begin, place{begin.line + 1, 1}})
		}
	}
}

// visit calls a function for each node.
type visit func(ast.Node)

// Visit implements ast.Visitor.
func (f visit) Visit(n ast.Node) ast.Visitor { f(n); return f }

// hides reports whether a value may be a secret, by whatever way it was reached.
func (n node) hides() bool {
	first, _ := ends(n.body)
	return first != nil && n.file.hidesAt(placeOf(first.Position))
}

func (f *file) hidesAt(p place) bool {
	return slices.ContainsFunc(f.hidden, func(r region) bool { return !p.before(r.begin) && p.before(r.end) })
}

// without returns a message without the value itself.
func (n node) without(message string) string {
	scalar, ok := n.body.(ast.ScalarNode)
	if !ok {
		return message
	}
	text := scalar.GetToken().Value
	for _, form := range []string{strconv.Quote(text), text} {
		if form != "" {
			message = strings.ReplaceAll(message, form, hidden)
		}
	}
	return message
}

// excerpt returns a line of the text without what may be a secret, and the column
// in it, from 1, of what is at a column of the whole line.
func (f *file) excerpt(at place) (text string, caret int) {
	var shown []rune
	covered, indented := false, true
	for i, char := range []rune(f.line(at.line)) {
		if i+1 == at.column {
			caret = len(shown) + 1
		}
		indented = indented && (char == ' ' || char == '\t')
		was := covered
		covered = f.hidesAt(place{at.line, i + 1}) && !indented
		switch {
		case !covered:
			shown = append(shown, char)
		case !was:
			shown = append(shown, []rune(hidden)...)
		}
	}
	if caret == 0 { // behind the end
		caret = len(shown) + 1
	}
	return string(shown), caret
}

// keyInLine is a key and what follows it, as far as that can be told from a line
// alone.
var keyInLine = regexp.MustCompile(`("[^"]*"|'[^']*'|[\p{L}\p{N}\x{fffd}_.-]+)\s*:(?:\s+|$)`)

// hideLine hides, in a text that is no YAML, the rest of a line from where it may
// hold a secret.
func (f *file) hideLine(n int) {
	line := f.line(n)
	if from := secretFrom(line); f.goesOn(n) {
		f.hideFrom(n, 0)
	} else if from < len(line) {
		f.hideFrom(n, from)
	}
}

func (f *file) hideFrom(line, offset int) {
	column := utf8.RuneCountInString(f.line(line)[:offset]) + 1
	f.hidden = append(f.hidden, region{place{line, column}, place{line + 1, 1}})
}

// secretWord is a word for a secret and what joins it to one, save the key of the
// secret traps.
var secretWord = regexp.MustCompile(`(?i)(?:token|passw|passphrase|pwd|key|credential|seed|auth|private|bearer|cookie|[^ {]secret|secret[^: ])[^\s:=]*["']?\s*[:=]?\s*`)

// punctuation may stand in a line before its first key.
const punctuation = " \t-?:,{[&"

// secretFrom returns from where on a line may hold a secret, or its length: from what
// is in front of its first key, or from the value of a key that is not known to be
// harmless.
func secretFrom(line string) int {
	keys := keyInLine.FindAllStringSubmatchIndex(line, -1)
	before := line
	if len(keys) > 0 {
		before = line[:keys[0][0]]
	}
	if rest := strings.TrimLeft(before, punctuation); rest != "" {
		return len(before) - len(rest)
	}
	if found := secretWord.FindStringIndex(line); found != nil {
		return found[1]
	}
	for _, key := range keys {
		if name, value := strings.Trim(line[key[2]:key[3]], `"'`), line[key[1]:]; mayBeSecret(name, value) {
			return key[1]
		}
	}
	return len(line)
}

// mayBeSecret judges a key by its name, where nothing is known of what it is in.
func mayBeSecret(name, value string) bool {
	if value == "" {
		return false
	}
	opens := strings.ContainsAny(value[:1], "{[")
	if knownName(name) {
		return secretName.MatchString(name) && !opens
	}
	return secretName.MatchString(name) || !opens
}

// knownName reports whether some section has a key of that name.
func knownName(name string) bool {
	return slices.ContainsFunc(Keys(), func(k Key) bool { return slices.Contains(strings.Split(k.Name, "."), name) })
}

// goesOn reports whether a line, by its indentation, is part of the value of a key
// that is named like a secret.
func (f *file) goesOn(n int) bool {
	inner := indentation(f.line(n))
	for n--; n > 0 && inner > 0; n-- {
		line := f.line(n)
		if strings.TrimSpace(line) == "" || indentation(line) >= inner {
			continue
		}
		inner = indentation(line)
		found := keyInLine.FindStringSubmatch(line)
		if found != nil && secretName.MatchString(found[1]) && !knownName(found[1]) {
			return true
		}
	}
	return false
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

package config

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Parse reads a configuration; name is what messages call it. All that is wrong
// comes back at once, as [Problems]; of wrong YAML, the first mistake.
func Parse(name string, text []byte) (Config, error) {
	f := newFile(name, newlines.Replace(strings.TrimPrefix(string(text), "\ufeff")))
	var c Config
	if root, ok := f.parse(); ok {
		before := f.problems
		readSection(root, topKeys, &Config{})
		// Once more, now that it is known what must not be shown: a value can be
		// reached, by an alias, before the key that makes it a secret.
		f.forget(before)
		readSection(root, topKeys, &c)
	}
	f.problems.sort()
	f.warnings.sort()
	if len(f.problems) > 0 {
		return Config{}, f.problems
	}
	c.Warnings = f.warnings
	return c, nil
}

// newlines turns every line end that YAML knows into one.
var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// file is a configuration while it is being read.
type file struct {
	name     string
	text     string
	lines    []string
	anchors  map[string]ast.Node
	problems Problems
	warnings Problems
	hidden   []region // that may be secrets

	// What has been declared so far, for what must be known or unique.
	providers map[string]*Provider
	firewalls map[string]string // the group of each provider's firewall
	hosts     map[string]string // the group of each host
}

func newFile(name, text string) *file {
	f := &file{name: name, text: text, lines: strings.Split(text, "\n"), anchors: make(map[string]ast.Node)}
	f.forget(nil)
	return f
}

// forget undoes a reading, save what was found to be hidden. The problems of the
// syntax remain.
func (f *file) forget(problems Problems) {
	f.problems, f.warnings = problems, nil
	f.providers = make(map[string]*Provider)
	f.firewalls, f.hosts = make(map[string]string), make(map[string]string)
}

// parse returns the top of the syntax tree, or false where the text is no YAML.
func (f *file) parse() (node, bool) {
	for i, line := range f.lines {
		if !utf8.ValidString(line) {
			before := line[:strings.IndexRune(line, utf8.RuneError)]
			at := &token.Position{Line: i + 1, Column: utf8.RuneCountInString(before) + 1}
			f.hideLine(at.Line)
			f.problem(at, "", "this is not UTF-8 text")
			return node{}, false
		}
	}
	tokens := lexer.Tokenize(f.text)
	f.hideComments(tokens)
	tree, err := parser.Parse(mend(tokens), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		f.syntaxProblem(err)
		return node{}, false
	}
	root := node{file: f}
	if len(tree.Docs) > 0 {
		root.body = tree.Docs[0].Body
	}
	if len(tree.Docs) > 1 {
		second := node{file: f, body: tree.Docs[1].Body}
		second.problemf("this is a second document: want one")
	}
	if root.body != nil {
		ast.Walk(f, root.body)
	}
	return root, true
}

// Visit implements ast.Visitor: it notes what each anchor marks. An alias is
// nothing to be marked, so that none leads to itself.
func (f *file) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		if _, alias := anchor.Value.(*ast.AliasNode); !alias {
			f.anchors[anchor.Name.GetToken().Value] = anchor.Value
		}
	}
	return f
}

func (f *file) syntaxProblem(err error) {
	at, message := &token.Position{Line: 1, Column: 1}, err.Error()
	if e := yaml.Error(nil); errors.As(err, &e) {
		message = e.GetMessage()
		if e.GetToken() != nil {
			at = e.GetToken().Position
		}
	}
	if _, value, _ := strings.Cut(f.line(at.Line), ":"); strings.HasPrefix(strings.TrimSpace(value), "*") {
		message += ": put a value that begins with * in quotes"
	}
	f.hideLine(at.Line)
	f.problem(at, "", message)
}

func (f *file) problem(at *token.Position, key, message string) {
	f.problems = append(f.problems, f.newProblem(at, key, message))
}

func (f *file) newProblem(at *token.Position, key, message string) *Problem {
	source, caret := f.excerpt(placeOf(at))
	return &Problem{
		File: f.name, Line: at.Line, Column: at.Column,
		Key: key, Message: message, source: source, caret: caret,
	}
}

// line returns a line of the text, counted from 1.
func (f *file) line(n int) string {
	if n < 1 || n > len(f.lines) {
		return ""
	}
	return strings.ToValidUTF8(f.lines[n-1], "\ufffd")
}

// Package layout guards the shape of the source tree: which folders hold code,
// which way imports point, and what only a few places may do. Its test runs
// over the whole module.
//
// It reads the source itself. A test that asked `go list` would go on passing
// from the test cache after an arrow broke.
package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path before every import of our own.
const module = "github.com/portsnare/portsnare"

// Breach is one place in the source that breaks a rule.
type Breach struct {
	File string
	Line int
	Rule string // what is wrong, and what is wanted
}

// String returns "file:line: what is wrong".
func (b Breach) String() string { return fmt.Sprintf("%s:%d: %s", b.File, b.Line, b.Rule) }

// Check returns every breach in a module's source, in the order of files and
// lines. Folders named testdata and those that begin with a dot or an
// underscore are no source.
func Check(tree fs.FS) ([]Breach, error) {
	var breaches []Breach
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (entry.Name() == "testdata" || strings.ContainsAny(entry.Name()[:1], "._")):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		s, err := parse(tree, name)
		if err != nil {
			return err
		}
		for _, rule := range rules {
			rule(s)
		}
		slices.SortStableFunc(s.breaches, func(a, b Breach) int { return a.Line - b.Line })
		breaches = append(breaches, s.breaches...)
		return nil
	})
	return breaches, err
}

// source is one file of Go.
type source struct {
	name      string // its path from the top of the module
	positions *token.FileSet
	syntax    *ast.File
	breaches  []Breach
}

func parse(tree fs.FS, name string) (*source, error) {
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	positions := token.NewFileSet()
	syntax, err := parser.ParseFile(positions, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{name: name, positions: positions, syntax: syntax}, nil
}

func (s *source) breach(at token.Pos, format string, args ...any) {
	s.breaches = append(s.breaches, Breach{s.name, s.line(at), fmt.Sprintf(format, args...)})
}

func (s *source) line(at token.Pos) int { return s.positions.Position(at).Line }

func (s *source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// folder returns the file's folder, "." for the top of the module.
func (s *source) folder() string { return path.Dir(s.name) }

// area returns the first part of a folder: "." or such as "rotator".
func area(folder string) string {
	first, _, _ := strings.Cut(folder, "/")
	return first
}

// matches reports whether the file is one that any of the patterns describes.
func (s *source) matches(patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, s.name)
		return ok && err == nil
	})
}

// imports calls visit for each import with its path.
func (s *source) imports(visit func(at token.Pos, path string)) {
	for _, spec := range s.syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			visit(spec.Pos(), p)
		}
	}
}

// uses calls visit wherever a name of the imported package is used.
func (s *source) uses(imported string, visit func(at token.Pos, name string)) {
	local := ""
	for _, spec := range s.syntax.Imports {
		if spec.Path.Value == strconv.Quote(imported) {
			if local = path.Base(imported); spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := selector.X.(*ast.Ident); ok && local != "" && id.Name == local {
				visit(selector.Pos(), selector.Sel.Name)
			}
		}
		return true
	})
}

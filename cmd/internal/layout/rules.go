package layout

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// rules are what every file has to obey. Test files are bound by those that
// say so.
var rules = []func(*source){
	folders,
	arrows,
	pureRoot,
	oneRunner,
	noHiddenStart,
	noHiddenEnd,
	smallPieces,
}

// areas are the folders at the top that hold code, save the top itself.
var areas = []string{"cmd", "docs", "hostagent", "packaging", "providers", "rotator"}

// folders: no other folder at the top holds code. Binds test files.
func folders(s *source) {
	if a := area(s.folder()); a != "." && !slices.Contains(areas, a) {
		s.breach(s.syntax.Package, "code in %s: want it in one of %s", a, strings.Join(areas, ", "))
	}
}

// parts are packages that belong to the one above them, which may import them.
var parts = []string{"rotator/placement", "rotator/hub/embedded"}

// shared are packages that all others of their area may import.
var shared = []string{"hostagent/host", "hostagent/kernel", "hostagent/localports"}

// suites are packages that only tests import, and free as those are.
var suites = []string{"hostagent/kerneltest"}

// arrows: all may import the top, cmd and suites may import all, nobody else
// anybody but its own parts and what its area shares.
func arrows(s *source) {
	if s.isTest() || area(s.folder()) == "cmd" || slices.Contains(suites, s.folder()) {
		return
	}
	s.imports(func(at token.Pos, imported string) {
		folder, ours := strings.CutPrefix(imported, module+"/")
		switch {
		case !ours, slices.Contains(parts, folder) && path.Dir(folder) == s.folder(),
			slices.Contains(shared, folder) && area(folder) == area(s.folder()):
		case area(folder) == area(s.folder()):
			s.breach(at, "imports its sibling %s: want both joined in cmd", folder)
		default:
			s.breach(at, "imports %s: want %s to know only the domain", folder, area(s.folder()))
		}
	})
}

// impure are the imports that bring time, chance, the machine or other people's
// code to the top. A path with a slash behind it stands for all below.
var impure = []string{"context", "crypto/rand", "log", "log/slog", "math/rand", "math/rand/v2", "net/", "os", "os/",
	"runtime", "runtime/", "sync", "sync/", "syscall", "testing", "unsafe"}

// clock are the names of package time that know the time, or wait.
var clock = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// pureRoot: the top is plain values and pure functions.
func pureRoot(s *source) {
	if s.isTest() || s.folder() != "." {
		return
	}
	s.imports(func(at token.Pos, imported string) {
		domain, _, _ := strings.Cut(imported, "/")
		switch {
		case strings.Contains(domain, "."):
			s.breach(at, "the domain imports %s: want the standard library only", imported)
		case imported == "net" || imported != "net/netip" && slices.ContainsFunc(impure, func(bad string) bool {
			return imported == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(imported, bad)
		}):
			s.breach(at, "the domain imports %s: want it to come in from outside", imported)
		}
	})
	s.uses("time", func(at token.Pos, name string) {
		if slices.Contains(clock, name) {
			s.breach(at, "the domain calls time.%s: want the time as an argument", name)
		}
	})
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if statement, ok := n.(*ast.GoStmt); ok {
			s.breach(statement.Pos(), "the domain starts a goroutine: want none here")
		}
		return true
	})
}

// runners are the files that may run programs: the one runner of a package, the
// test lab, the demo.
var runners = []string{"hostagent/*/runner.go", "hostagent/netlab/*.go", "cmd/internal/demo/*.go"}

func oneRunner(s *source) {
	if s.isTest() || s.matches(runners) {
		return
	}
	s.imports(func(at token.Pos, imported string) {
		if imported == "os/exec" {
			s.breach(at, "imports os/exec: want programs run in %s only", strings.Join(runners, ", "))
		}
	})
}

// noHiddenStart: nothing happens because a package is imported, and a signal is
// turned into a context in cmd.
func noHiddenStart(s *source) {
	for _, d := range s.syntax.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			s.breach(f.Pos(), "has an init function: want a constructor")
		}
	}
	if s.isTest() || area(s.folder()) == "cmd" {
		return
	}
	s.imports(func(at token.Pos, imported string) {
		if imported == "os/signal" {
			s.breach(at, "imports os/signal: want signals heard in cmd only")
		}
	})
}

// noHiddenEnd: an error is returned; only main ends the program.
func noHiddenEnd(s *source) {
	if s.isTest() {
		return
	}
	s.uses("log", func(at token.Pos, name string) {
		if strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic") {
			s.breach(at, "calls log.%s: want the error returned", name)
		}
	})
	if ok, err := path.Match("cmd/*/main.go", s.name); ok && err == nil {
		return
	}
	s.uses("os", func(at token.Pos, name string) {
		if name == "Exit" {
			s.breach(at, "calls os.Exit: want the error returned")
		}
	})
}

// The caps on what is read in one go, in lines.
const (
	maxFunction = 60
	maxFile     = 400
)

func smallPieces(s *source) {
	if s.isTest() || ast.IsGenerated(s.syntax) {
		return
	}
	if lines := s.line(s.syntax.FileEnd); lines > maxFile {
		s.breach(s.syntax.Package, "has %d lines: want at most %d", lines, maxFile)
	}
	for _, d := range s.syntax.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			if lines := s.line(f.End()) - s.line(f.Pos()) + 1; lines > maxFunction {
				s.breach(f.Pos(), "%s has %d lines: want at most %d", f.Name.Name, lines, maxFunction)
			}
		}
	}
}

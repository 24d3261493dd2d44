package layout

import (
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Linked returns every package that the one in folder comes to be linked with
// by way of the module's own packages, sorted: ours, the standard library's, and
// those of others that ours import themselves. Test files do not count; files
// for other systems do.
func Linked(tree fs.FS, folder string) ([]string, error) {
	var linked []string
	seen := map[string]bool{}
	var follow func(folder string) error
	follow = func(folder string) error {
		imported, err := importsOf(tree, folder)
		for _, p := range imported {
			if seen[p] {
				continue
			}
			seen[p] = true
			linked = append(linked, p)
			if ours, ok := strings.CutPrefix(p, module); ok && err == nil {
				err = follow(path.Join(".", strings.TrimPrefix(ours, "/")))
			}
		}
		return err
	}
	err := follow(folder)
	slices.Sort(linked)
	return linked, err
}

// importsOf returns what the package in a folder imports.
func importsOf(tree fs.FS, folder string) ([]string, error) {
	names, err := fs.Glob(tree, path.Join(folder, "*.go"))
	if err == nil && len(names) == 0 {
		err = &fs.PathError{Op: "find a package in", Path: folder, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	var imported []string
	for _, name := range names {
		s, err := parse(tree, name)
		if err != nil {
			return nil, err
		}
		if s.isTest() {
			continue
		}
		s.imports(func(_ token.Pos, p string) { imported = append(imported, p) })
	}
	return imported, nil
}

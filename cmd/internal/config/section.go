package config

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Key says what one key of the configuration is.
type Key struct {
	Name     string // its path, such as "groups.NAME.rotate"
	Want     string // what it takes, in words
	Default  string // its value where it is absent, as it would be written; "" for none
	Required bool   // it must be there; a list must not be empty
	Doc      string // what it is for
}

// Keys returns every key of the configuration, in the order of a good file.
func Keys() []Key { return topKeys.document("") }

// section is what one mapping may hold and how that becomes a T.
type section[T any] struct {
	keys []key[T]
	// check finds what no key can tell alone. It is called only where each
	// key for itself is right; it may be nil.
	check func(m mapping, to *T)
}

type key[T any] struct {
	Key
	read   func(n node, to *T)
	absent func(n node, to *T) // instead of read where the key is not there; may be nil
	inner  []Key               // those of the mapping under this key
	word   string              // what may stand there instead of the mapping, for its defaults
}

// mapping is a mapping that has been read: its values by key.
type mapping struct {
	node
	values map[string]node
}

// at returns the value under the first of the names that is there, else the
// mapping.
func (m mapping) at(names ...string) node {
	for _, name := range names {
		if n, ok := m.values[name]; ok {
			return n
		}
	}
	return m.node
}

// readSection reads the mapping at n into to, with a default for each key that
// has one and is absent.
func readSection[T any](n node, s section[T], to *T) {
	before := len(n.file.problems)
	m := mapping{n, make(map[string]node)}
	pairs, ok := n.pairs("keys, each with a value")
	if !ok {
		return
	}
	known := s.names()
	for _, p := range pairs {
		if slices.Contains(known, p.name) {
			m.values[p.name] = p.node
		} else {
			p.hide()
			p.atKey().problemf("unknown key%s", meant(p.name, known))
		}
	}
	for _, k := range s.keys {
		switch value, ok := m.values[k.Name]; {
		case ok:
			k.read(value, to)
		case k.Default != "":
			k.read(n.child(join(n.path, k.Name), nil, written(k.Default)), to)
		case k.absent != nil:
			k.absent(n, to)
		case k.Required:
			n.missing(k.Name, k.Want)
		}
	}
	if s.check != nil && len(n.file.problems) == before {
		s.check(m, to)
	}
}

// written returns the value that text stands for, or nil where it is no YAML.
func written(text string) ast.Node {
	tree, err := parser.ParseBytes([]byte(text), 0)
	if err != nil || len(tree.Docs) != 1 {
		return nil
	}
	return tree.Docs[0].Body
}

func (s section[T]) names() []string {
	names := make([]string, len(s.keys))
	for i, k := range s.keys {
		names[i] = k.Name
	}
	return names
}

// document returns the keys with prefix before their names; a key that holds
// others gives way to them.
func (s section[T]) document(prefix string) []Key {
	var keys []Key
	for _, k := range s.keys {
		name := k.Name
		if k.inner == nil || k.word != "" {
			k.Name = prefix + k.Name
			keys = append(keys, k.Key)
		}
		for _, inner := range k.inner {
			inner.Name = prefix + name + "." + inner.Name
			keys = append(keys, inner)
		}
	}
	return keys
}

// one is a key with a single value.
func one[T, V any](k Key, f form[V], set func(*T, V)) key[T] {
	k.Want = f.want
	return key[T]{Key: k, read: func(n node, to *T) {
		if v, ok := f.read(n); ok {
			set(to, v)
		}
	}}
}

// many is a key with a list of values, each of which is added with its node at
// hand. The list may be empty unless the key is required or has a default.
func many[T, V any](k Key, f form[V], add func(n node, to *T, v V)) key[T] {
	k.Want = "a list: " + f.want
	return key[T]{Key: k, read: func(n node, to *T) {
		items, ok := n.items(k.Want)
		if ok && len(items) == 0 && (k.Required || k.Default != "") {
			n.problemf("the list is empty: want at least one")
		}
		for _, item := range items {
			if v, ok := f.read(item); ok {
				add(item, to, v)
			}
		}
	}}
}

// inside is a key with a mapping of fixed keys. All of them have defaults.
func inside[T, V any](name string, s section[V], field func(*T) *V) key[T] {
	return key[T]{
		Key:   Key{Name: name, Default: "{}"},
		read:  func(n node, to *T) { readSection(n, s, field(to)) },
		inner: s.document(""),
	}
}

// insideOr is like inside, and takes a word for a mapping without a key.
func insideOr[T, V any](word string, k Key, s section[V], field func(*T) *V) key[T] {
	k.Want, k.Default = word+", or keys, each with a value", word
	return key[T]{
		Key: k,
		read: func(n node, to *T) {
			if text, ok := n.body.(*ast.StringNode); ok && text.Value == word {
				n.body = written("{}")
			}
			if _, mapped := n.body.(*ast.MappingNode); !mapped {
				n.unfit(k.Want)
				return
			}
			readSection(n, s, field(to))
		},
		inner: s.document(""),
		word:  word,
	}
}

// each is a required key with a mapping whose own keys are names; begin
// receives each name before the section below it is read.
func each[T, V any](k Key, s section[V], begin func(n node, name string, v *V), set func(*T, []V)) key[T] {
	k.Required = true
	return key[T]{
		Key: k,
		read: func(n node, to *T) {
			var all []V
			pairs, ok := n.pairs(k.Want)
			if ok && len(pairs) == 0 {
				n.problemf("nothing here: want %s", k.Want)
			}
			for _, p := range pairs {
				if _, mapped := p.body.(*ast.MappingNode); !mapped {
					p.hide() // nobody knows what its name means
				}
				var v V
				begin(p.node, p.name, &v)
				readSection(p.node, s, &v)
				all = append(all, v)
			}
			set(to, all)
		},
		inner: s.document("NAME."),
	}
}

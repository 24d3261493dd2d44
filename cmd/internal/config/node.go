package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// node is a value in the file and where it is.
type node struct {
	file *file
	path string       // such as "groups.web.hosts[0]"; "" for the whole
	key  *token.Token // the key before it; nil where there is none
	raw  ast.Node     // the value as it is written there
	body ast.Node     // what it means; nil in an empty file and behind an alias to nothing
}

// problemf records that something is wrong with the value.
func (n node) problemf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if n.hides() {
		message = n.without(message)
	}
	n.file.problem(n.position(), n.path, message)
}

// missing records that a key is not there.
func (n node) missing(name, want string) {
	at := n.position()
	if n.key != nil {
		at = n.key.Position
	}
	n.file.problem(at, join(n.path, name), "missing: want "+want)
}

func join(path, name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || name == "" {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// position returns where the value begins.
func (n node) position() *token.Position {
	at := n.body
	if block, ok := at.(*ast.MappingNode); ok && !block.IsFlowStyle && len(block.Values) > 0 {
		at = block.Values[0].Key // the token of a block is its first colon
	}
	switch {
	case at != nil && at.GetToken() != nil:
		return at.GetToken().Position
	case n.key != nil:
		return n.key.Position
	}
	return &token.Position{Line: 1, Column: 1}
}

// atKey returns the node as though it were nothing but its key.
func (n node) atKey() node { return node{file: n.file, path: n.path, key: n.key} }

// text returns the value as it was written, quotes taken off.
func (n node) text(want string) (string, bool) {
	switch body := n.body.(type) {
	case *ast.StringNode:
		return body.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(body.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return body.GetToken().Value, true
	}
	n.unfit(want)
	return "", false
}

// items returns the values of a list, or false where there is none.
func (n node) items(want string) ([]node, bool) {
	list, ok := n.body.(*ast.SequenceNode)
	if !ok {
		n.unfit(want)
		return nil, false
	}
	items := make([]node, 0, len(list.Values))
	for i, value := range list.Values {
		items = append(items, n.child(fmt.Sprintf("%s[%d]", n.path, i), nil, value))
	}
	return items, true
}

// pair is a key and the value under it.
type pair struct {
	name string
	node
}

// pairs returns the values of a mapping in the order of the file, or false where
// there is none. A key that comes twice is a problem and is returned once.
func (n node) pairs(want string) ([]pair, bool) {
	mapping, ok := n.body.(*ast.MappingNode)
	if !ok {
		n.unfit(want)
		return nil, false
	}
	var pairs []pair
	lines := make(map[string]int) // where each key was first
	for _, value := range mapping.Values {
		key := value.Key.GetToken()
		if !isWord(value.Key) {
			n.child(n.path, key, value.Value).hide()
			n.file.problem(key.Position, n.path, fmt.Sprintf("%s: want a word for a key", key.Value))
			continue
		}
		path := join(n.path, key.Value)
		child := n.child(path, key, value.Value)
		child.hideNamed(key.Value)
		if line, twice := lines[key.Value]; twice {
			child.hide()
			n.file.problem(key.Position, path, fmt.Sprintf("set twice: it is on line %d already", line))
			continue
		}
		lines[key.Value] = key.Position.Line
		pairs = append(pairs, pair{key.Value, child})
	}
	return pairs, true
}

// isWord reports whether a key is a word, not a merge (<<) or a whole value.
func isWord(key ast.MapKeyNode) bool {
	switch key.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return true
	}
	return false
}

// unfit records that the value is not of the form wanted.
func (n node) unfit(want string) {
	switch body := n.body.(type) {
	case nil:
		if n.path == "" { // else an alias to nothing, which has been recorded
			n.problemf("nothing here: want %s", want)
		}
	case *ast.NullNode:
		n.problemf("no value: want %s", want)
	case *ast.MappingNode:
		n.problemf("this is a mapping: want %s", want)
	case *ast.SequenceNode:
		n.problemf("this is a list: want %s", want)
	default:
		n.problemf("%s: want %s", shown(body.GetToken().Value), want)
	}
}

// child returns the value that body stands for: itself, what an anchor marks, or
// what an alias means.
func (n node) child(path string, key *token.Token, body ast.Node) node {
	child := node{n.file, path, key, body, body}
	for {
		switch body := child.body.(type) {
		case *ast.AnchorNode:
			child.body = body.Value
		case *ast.AliasNode:
			name := body.Value.GetToken().Value
			target, ok := n.file.anchors[name]
			if !ok {
				child.problemf("*%s: nothing is marked &%s", name, name)
			}
			child.body = target
		default:
			return child
		}
	}
}

// shown returns text as a message quotes it: numbers bare, all else in quotes.
func shown(text string) string {
	if text != "" && strings.Trim(text, "0123456789") == "" {
		return text
	}
	return strconv.Quote(text)
}

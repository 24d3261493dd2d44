package config

import (
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// mend puts plain text with a colon in it, such as 2001:db8::7 or host:4222,
// back together. The lexer takes it apart where a list in brackets stands
// inside braces (https://github.com/goccy/go-yaml/issues/832).
func mend(tokens token.Tokens) token.Tokens {
	var whole token.Tokens
	var around []token.Type // the brackets and braces that are open
	for i := 0; i < len(tokens); i++ {
		tk := tokens[i]
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			around = append(around, tk.Type)
		case token.SequenceEndType, token.MappingEndType:
			around = around[:max(0, len(around)-1)]
		case token.MappingValueType:
			inList := len(around) > 0 && around[len(around)-1] == token.SequenceStartType
			if inList && i+1 < len(tokens) && plain(tokens[i+1]) && touch(tk, tokens[i+1]) {
				i++
				whole, tk = glue(whole, tk, tokens[i])
			}
		}
		whole.Add(tk)
	}
	return whole
}

// glue returns one token for a colon, what is after it and, taken off the end
// of before, what is right in front of it.
func glue(before token.Tokens, colon, after *token.Token) (token.Tokens, *token.Token) {
	text, at := colon.Value+after.Value, colon.Position
	if n := len(before); n > 0 && plain(before[n-1]) && touch(before[n-1], colon) {
		text, at = before[n-1].Value+text, before[n-1].Position
		before = before[:n-1]
	}
	return before, token.New(text, text, at)
}

// plain reports whether a token is text without quotes.
func plain(tk *token.Token) bool { return tk.Indicator == token.NotIndicator }

// touch reports whether b begins right where a, which is not in quotes, ends.
func touch(a, b *token.Token) bool {
	return a.Position.Line == b.Position.Line &&
		a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}

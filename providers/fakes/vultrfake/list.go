package vultrfake

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// The sizes of a page:
// https://www.vultr.com/api/#section/Introduction/Meta-and-Pagination
const (
	defaultPage = 100
	maxPage     = 500
)

// listRules answers one page. A cursor is the number of the last rule that was
// seen, so rules that come and go between two pages do no harm.
func (f *Fake) listRules(c Call, r *http.Request) (reply, error) {
	size, after, err := readPage(r.URL.Query())
	if err != nil {
		return reply{}, err
	}
	g, err := f.store.list(c.GroupID)
	if err != nil {
		return reply{}, err
	}
	first, _ := slices.BinarySearchFunc(g.rules, after+1, func(r Rule, n int) int { return cmp.Compare(r.Number, n) })
	page := g.rules[first:min(first+size, len(g.rules))]
	next := ""
	if first+size < len(g.rules) {
		next = cursor(page[size-1].Number)
	}
	rules := make([]wireRule, 0, len(page))
	for _, r := range page {
		rules = append(rules, f.options.wire(r))
	}
	return reply{status: http.StatusOK, body: map[string]any{
		"firewall_rules": rules,
		"meta":           map[string]any{"total": len(g.rules), "links": map[string]string{"next": next, "prev": ""}},
	}}, nil
}

func cursor(last int) string {
	return base64.StdEncoding.EncodeToString([]byte(cursorMark + strconv.Itoa(last)))
}

const cursorMark = "next__"

func readPage(q url.Values) (size, after int, err error) {
	size = defaultPage
	if text := q.Get("per_page"); text != "" {
		if size, err = strconv.Atoi(text); err != nil || size < 1 || size > maxPage {
			return 0, 0, refuse("Invalid per_page.")
		}
	}
	text := q.Get("cursor")
	if text == "" {
		return size, 0, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) <= len(cursorMark) || string(raw[:len(cursorMark)]) != cursorMark {
		return 0, 0, refuse("Invalid cursor.")
	}
	if after, err = strconv.Atoi(string(raw[len(cursorMark):])); err != nil {
		return 0, 0, refuse("Invalid cursor.")
	}
	return size, after, nil
}

package dofake

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// show tells a firewall as far as the token may see it.
func (q query) show(fw Firewall) map[string]any {
	may := func(scope string) bool { return slices.Contains(q.scopes, scope) }
	droplets, tags, pending := []int{}, []string{}, []map[string]any{}
	if may("droplet:read") {
		droplets = append(droplets, fw.DropletIDs...)
	}
	if may("tag:read") {
		tags = append(tags, fw.Tags...)
	}
	status := "succeeded"
	if fw.pending > 0 {
		for _, id := range q.members(fw) {
			status = "waiting"
			pending = append(pending, map[string]any{"droplet_id": id, "removing": false, "status": "waiting"})
		}
	}
	return map[string]any{
		"id": fw.ID, "name": fw.Name, "status": status, "created_at": fw.Created.Format(time.RFC3339),
		"inbound_rules": cloneRules(fw.Inbound), "outbound_rules": cloneRules(fw.Outbound),
		"droplet_ids": droplets, "tags": tags, "pending_changes": pending,
	}
}

func sortedByID(firewalls map[string]Firewall) []Firewall {
	var all []Firewall
	for _, id := range slices.Sorted(maps.Keys(firewalls)) {
		all = append(all, firewalls[id])
	}
	return all
}

// page answers with one page of a list: page counts from 1, per_page is 20 if
// not given and 200 at most.
func page(at *url.URL, key string, all []map[string]any) (http.Handler, error) {
	number, err1 := parameter(at, "page", 1)
	size, err2 := parameter(at, "per_page", 20)
	if err1 != nil || err2 != nil || number < 1 || size < 1 || size > 200 {
		return nil, badRequest("want page from 1 and per_page from 1 to 200")
	}
	pages := map[string]string{}
	link := func(name string, n int) {
		next := *at
		values := next.Query()
		values.Set("page", strconv.Itoa(n))
		next.RawQuery = values.Encode()
		pages[name] = fmt.Sprintf("https://api.digitalocean.com%s", next.RequestURI())
	}
	last := max(1, (len(all)+size-1)/size)
	if number < last {
		link("next", number+1)
		link("last", last)
	}
	if number > 1 {
		link("first", 1)
		link("prev", number-1)
	}
	from := min(len(all), (number-1)*size)
	return answer(http.StatusOK, map[string]any{
		key:     append([]map[string]any{}, all[from:min(len(all), from+size)]...),
		"links": map[string]any{"pages": pages},
		"meta":  map[string]any{"total": len(all)},
	}), nil
}

func parameter(at *url.URL, name string, otherwise int) (int, error) {
	text := at.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	return strconv.Atoi(text)
}

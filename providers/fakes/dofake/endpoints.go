package dofake

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// An endpoint is what one method of one path does. It runs under Fake.mu.
type endpoint struct {
	scopes []string
	body   func() any
	do     func(query) (http.Handler, error)
}

// A query is a request that may be carried out.
type query struct {
	*Fake
	id     string
	scopes []string
	url    *url.URL
	body   any
}

// What requests hold. A list that is null is empty.
type (
	rulesBody struct {
		Inbound  []Rule `json:"inbound_rules"`
		Outbound []Rule `json:"outbound_rules"`
	}
	firewallBody struct {
		Name string `json:"name"`
		rulesBody
		DropletIDs []int    `json:"droplet_ids"`
		Tags       []string `json:"tags"`
	}
	dropletsBody struct {
		DropletIDs []int `json:"droplet_ids"`
	}
	tagsBody struct {
		Tags []string `json:"tags"`
	}
)

var (
	read   = []string{"firewall:read"}
	update = []string{"firewall:update"}

	endpoints = map[string]endpoint{
		"GET firewalls":                {read, nil, list},
		"POST firewalls":               {[]string{"firewall:create"}, newOf[firewallBody], create},
		"GET firewalls/ID":             {read, nil, get},
		"PUT firewalls/ID":             {append(update, "droplet:read", "tag:read"), newOf[firewallBody], replace},
		"DELETE firewalls/ID":          {[]string{"firewall:delete"}, nil, remove},
		"POST firewalls/ID/rules":      {update, newOf[rulesBody], changeRules((*Firewall).add)},
		"DELETE firewalls/ID/rules":    {update, newOf[rulesBody], changeRules((*Firewall).remove)},
		"POST firewalls/ID/droplets":   {update, newOf[dropletsBody], attach[int]},
		"DELETE firewalls/ID/droplets": {update, newOf[dropletsBody], detach[int]},
		"POST firewalls/ID/tags":       {update, newOf[tagsBody], attach[string]},
		"DELETE firewalls/ID/tags":     {update, newOf[tagsBody], detach[string]},
		"GET droplets/ID/firewalls":    {read, nil, listOfDroplet},
		"GET droplets":                 {[]string{"droplet:read"}, nil, listDroplets},
		"GET tags":                     {[]string{"tag:read"}, nil, listTags},
	}
)

func newOf[T any]() any { return new(T) }

// noContent is the answer to a change.
var noContent = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

func answer(status int, body any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, status, body) })
}

func (b firewallBody) firewall() (Firewall, error) {
	inbound, err := normalRules(b.Inbound, true)
	if err != nil {
		return Firewall{}, err
	}
	outbound, err := normalRules(b.Outbound, false)
	return Firewall{Name: b.Name, Inbound: inbound, Outbound: outbound, DropletIDs: b.DropletIDs, Tags: b.Tags}, err
}

func create(q query) (http.Handler, error) {
	fw, err := q.body.(*firewallBody).firewall()
	if err != nil {
		return nil, err
	}
	id, err := q.make(fw)
	return answer(http.StatusAccepted, map[string]any{"firewall": q.show(q.firewalls[id])}), err
}

func get(q query) (http.Handler, error) {
	fw, ok := q.view()[q.id]
	if !ok {
		return nil, errNotFound
	}
	return answer(http.StatusOK, map[string]any{"firewall": q.show(fw)}), nil
}

// replace resets everything that the request does not name.
func replace(q query) (http.Handler, error) {
	old, ok := q.firewalls[q.id]
	if !ok {
		return nil, errNotFound
	}
	fw, err := q.body.(*firewallBody).firewall()
	if err != nil {
		return nil, err
	}
	fw.ID, fw.Created = old.ID, old.Created
	if err := q.put(fw); err != nil {
		return nil, err
	}
	return answer(http.StatusOK, map[string]any{"firewall": q.show(q.firewalls[q.id])}), nil
}

func remove(q query) (http.Handler, error) {
	if _, ok := q.firewalls[q.id]; !ok {
		return nil, errNotFound
	}
	delete(q.firewalls, q.id)
	return noContent, nil
}

func (q query) change(how func(*Firewall) error) (http.Handler, error) {
	fw, ok := q.firewalls[q.id]
	if !ok {
		return nil, errNotFound
	}
	fw = fw.clone()
	if err := how(&fw); err != nil {
		return nil, err
	}
	return noContent, q.put(fw)
}

func changeRules(how func(fw *Firewall, inbound, outbound []Rule) error) func(query) (http.Handler, error) {
	return func(q query) (http.Handler, error) {
		b := q.body.(*rulesBody)
		inbound, err := normalRules(b.Inbound, true)
		if err != nil {
			return nil, err
		}
		outbound, err := normalRules(b.Outbound, false)
		if err != nil {
			return nil, err
		}
		if len(inbound)+len(outbound) == 0 {
			return nil, badRequest("want inbound_rules or outbound_rules")
		}
		return q.change(func(fw *Firewall) error { return how(fw, inbound, outbound) })
	}
}

// named returns what a request attaches or detaches, and where a firewall keeps
// such.
func named[T int | string](q query, fw *Firewall) (items []T, kept *[]T) {
	switch b := q.body.(type) {
	case *dropletsBody:
		return any(b.DropletIDs).([]T), any(&fw.DropletIDs).(*[]T)
	default:
		return any(q.body.(*tagsBody).Tags).([]T), any(&fw.Tags).(*[]T)
	}
}

func attach[T int | string](q query) (http.Handler, error) {
	return q.change(func(fw *Firewall) error {
		items, kept := named[T](q, fw)
		*kept = append(*kept, items...)
		slices.Sort(*kept)
		*kept = slices.Compact(*kept)
		return nil
	})
}

func detach[T int | string](q query) (http.Handler, error) {
	return q.change(func(fw *Firewall) error {
		items, kept := named[T](q, fw)
		*kept = slices.DeleteFunc(*kept, func(v T) bool { return slices.Contains(items, v) })
		return nil
	})
}

// listOfDroplet answers as list does.
func listOfDroplet(q query) (http.Handler, error) {
	id, err := strconv.Atoi(q.id)
	if err != nil {
		return nil, errNotFound
	}
	return q.listWhere(func(fw Firewall) bool { return slices.Contains(q.members(fw), id) })
}

func list(q query) (http.Handler, error) {
	return q.listWhere(func(Firewall) bool { return true })
}

func (q query) listWhere(keep func(Firewall) bool) (http.Handler, error) {
	var all []map[string]any
	for _, fw := range sortedByID(q.view()) {
		if keep(fw) {
			all = append(all, q.show(fw))
		}
	}
	return page(q.url, "firewalls", all)
}

func listDroplets(q query) (http.Handler, error) {
	var all []map[string]any
	tag := q.url.Query().Get("tag_name") // all Droplets without it
	for id, tags := range q.droplets {
		if tag != "" && !slices.Contains(tags, tag) {
			continue
		}
		all = append(all, map[string]any{"id": id, "name": fmt.Sprint("droplet-", id), "tags": tags})
	}
	return page(q.url, "droplets", all)
}

func listTags(q query) (http.Handler, error) {
	var all []map[string]any
	for tag := range q.tags {
		all = append(all, map[string]any{"name": tag})
	}
	return page(q.url, "tags", all)
}

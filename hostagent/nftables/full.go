package nftables

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Full returns which of the kernel's memories had no room for somebody within
// the last minute, by the names of their sets ("hit4", "ban6"), sorted: whoever
// it was is served.
func (b *Backend) Full(ctx context.Context) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	have, err := b.inspect(ctx, func(string) bool { return false })
	if err != nil {
		return nil, err
	}
	var found []string
	for _, kind := range bounded {
		if _, ok := have.sets[full+kind]; !ok {
			continue
		}
		text, err := b.list(ctx, full+kind)
		if err != nil {
			return nil, err
		}
		families, err := parseFull(text)
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", full+kind, err)
		}
		for _, f := range families {
			found = append(found, f.set(kind))
		}
	}
	slices.Sort(found)
	return found, nil
}

// parseFull reads the families that a set holds.
func parseFull(text string) (found []family, err error) {
	var l listing
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return nil, err
	}
	for _, object := range l.Nftables {
		if object.Set == nil {
			continue
		}
		for _, e := range object.Set.Elem {
			var protocol string
			if err := json.Unmarshal(e.Val, &protocol); err != nil {
				return nil, err
			}
			i := slices.Index([]string{"ipv4", "ipv6"}, protocol)
			if i < 0 {
				return nil, fmt.Errorf("family %q: want ipv4 or ipv6", protocol)
			}
			found = append(found, families[i])
		}
	}
	return found, nil
}

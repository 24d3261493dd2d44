package ipset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Full returns which of the kernel's memories have no room for everybody any
// more, by the names of their sets ("hit4", "ban6"), sorted: a hit, strike, ban
// or friend that falls into a full bucket is not remembered, and whoever it is of
// is served. A memory is called full from half of its places on, when one newcomer
// in fifty finds its bucket full (a Poisson distribution of 6 with 12 places), and
// that of bans when it holds [kernel.MaxBans].
func (b *Backend) Full(ctx context.Context) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.able(); err != nil {
		return nil, err
	}
	have, err := b.readSets(ctx, func(string) bool { return false })
	if err != nil {
		return nil, err
	}
	var lists lines
	for _, name := range have.names() {
		if isMemory(name) {
			lists.addf("list -t %s", name)
		}
	}
	if lists.Len() == 0 {
		return nil, nil
	}
	text, err := b.run(ctx, lists.String(), "ipset", "restore")
	if err != nil {
		return nil, err
	}
	return parseFull(text)
}

// parseFull reads the headers of sets and returns the names of the full ones.
func parseFull(text string) (full []string, err error) {
	var name string
	var bound int
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Name":
			name = strings.TrimPrefix(value, prefix)
		case "Header":
			bound, err = fullFrom(value)
		case "Number of entries":
			var entries int
			if entries, err = strconv.Atoi(value); entries >= bound {
				full = append(full, name)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	slices.Sort(full)
	return full, nil
}

// fullFrom returns with how many entries a set is full, whose header is such as
// "family inet hashsize 1024 maxelem 65536 timeout 0".
func fullFrom(header string) (int, error) {
	fields := strings.Fields(header)
	number := func(key string) (int, error) {
		i := slices.Index(fields, key)
		if i < 0 || i+1 == len(fields) {
			return 0, fmt.Errorf("header %q has no %s", header, key)
		}
		return strconv.Atoi(fields[i+1])
	}
	buckets, err := number("hashsize")
	most, mostErr := number("maxelem")
	return min(buckets*perBucket/2, most), errors.Join(err, mostErr)
}

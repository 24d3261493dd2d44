package ipset

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Full returns which of the kernel's memories have no room for everybody any
// more, by the names of their sets ("hit4", "ban6"), sorted: a hit, strike, ban
// or friend that falls into a full bucket is not remembered, and whoever it is of
// is served. A memory is called full from half of its places on, when one newcomer
// in fifty finds its bucket full (a Poisson distribution of 6 with 12 places).
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
	var buckets int
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Name":
			name = strings.TrimPrefix(value, prefix)
		case "Header":
			buckets, err = hashSize(value)
		case "Number of entries":
			var entries int
			if entries, err = strconv.Atoi(value); 2*entries >= buckets*perBucket {
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

// hashSize reads "family inet hashsize 1024 maxelem 65536 timeout 0".
func hashSize(header string) (int, error) {
	fields := strings.Fields(header)
	i := slices.Index(fields, "hashsize")
	if i < 0 || i+1 == len(fields) {
		return 0, fmt.Errorf("header %q tells no hashsize", header)
	}
	return strconv.Atoi(fields[i+1])
}

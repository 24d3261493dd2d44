package clouds

import (
	"context"

	"github.com/portsnare/portsnare/providers/none"
)

// None is the kind without a cloud firewall: only the hosts filter.
const None = "none"

var _ = add(Cloud{
	Kind: None, Rank: 1000,
	Open: func(_ context.Context, t Target) (Firewall, error) {
		return none.New(t.Mark, t.Former...), nil
	},
	Counts: "no rules at all",
})

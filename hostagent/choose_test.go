package hostagent

import (
	"context"
	"errors"
	"testing"

	"github.com/portsnare/portsnare"
)

func TestChoose(t *testing.T) {
	tests := []struct {
		setting         string
		ipset, nftables error // of their checks
		want            string
		kind            portsnare.Kind
	}{
		{"auto", nil, nil, "ipset", ""},
		{"auto", errBroken, nil, "nftables", ""},
		{"auto", errBroken, errors.New("neither"), "", portsnare.Unavailable},
		{"nftables", nil, nil, "nftables", ""},
		{"ipset", errBroken, nil, "", portsnare.Unavailable},
		{"pf", nil, nil, "", portsnare.Invalid},
	}
	for _, test := range tests {
		check := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
		got, err := Choose(t.Context(), test.setting,
			Candidate{Name: "ipset", Check: check(test.ipset)}, Candidate{Name: "nftables", Check: check(test.nftables)})
		if got.Name != test.want || portsnare.KindOf(err) != test.kind {
			t.Errorf("%+v: %q, %v; want %q, kind %q", test, got.Name, err, test.want, test.kind)
		}
		if test.kind == portsnare.Unavailable && portsnare.HintOf(err) == "" {
			t.Errorf("%+v: %v has lost its hint", test, err)
		}
	}
}

package clitest

import (
	"reflect"
	"slices"
	"testing"
)

// TestPoison: no kind of text is passed by.
func TestPoison(t *testing.T) {
	var v struct {
		S  string
		L  []string
		P  *struct{ S string }
		M  map[string][]string
		A  [2]string
		N  int
		no string
	}
	if n := poison(reflect.ValueOf(&v).Elem(), 0); n != 9 || v.no != "" {
		t.Errorf("%d texts: want 9, in %+v", n, v)
	}
	if !slices.Equal(v.L, []string{evil, evil}) || v.P.S != evil || v.M[evil][1] != evil {
		t.Errorf("%+v", v)
	}
}

package embedded

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddresses(t *testing.T) {
	const port = 4222 // what the hub got
	for _, test := range []struct {
		listen    string
		advertise []string
		local     string
		urls      []string
		names     []string
	}{
		{"", nil, "tls://127.0.0.1:4222", nil, nil},
		{":4222", nil, "tls://127.0.0.1:4222", nil, nil},
		{"[::]:4222", nil, "tls://[::1]:4222", nil, nil},
		{"192.0.2.1:4222", nil, "tls://192.0.2.1:4222", []string{"tls://192.0.2.1:4222"}, []string{"192.0.2.1"}},
		{"0.0.0.0:4222", []string{"controller.example.org", "203.0.113.5:443", "2001:db8::5", "[2001:db8::6]", "[2001:db8::7]:443"},
			"tls://127.0.0.1:4222",
			[]string{"tls://controller.example.org:4222", "tls://203.0.113.5:443", "tls://[2001:db8::5]:4222", "tls://[2001:db8::6]:4222", "tls://[2001:db8::7]:443"},
			[]string{"controller.example.org", "203.0.113.5", "2001:db8::5", "2001:db8::6", "2001:db8::7"}},
	} {
		all, err := parseAddresses(test.listen, test.advertise)
		if err != nil {
			t.Errorf("%q: %v", test.listen, err)
			continue
		}
		var urls []string
		for _, a := range all.advertise {
			urls = append(urls, a.url(port))
		}
		if diff := cmp.Diff(test.urls, urls); diff != "" {
			t.Errorf("%q %q: urls (-want +got):\n%s", test.listen, test.advertise, diff)
		}
		if got := all.local().url(port); got != test.local {
			t.Errorf("%q: local %s; want %s", test.listen, got, test.local)
		}
		for _, name := range append(test.names, "localhost", "127.0.0.1", "::1") {
			if !slices.Contains(all.names(), name) {
				t.Errorf("%q %q: certificate for %v; want %s too", test.listen, test.advertise, all.names(), name)
			}
		}
	}
}

func TestAddressesRefused(t *testing.T) {
	for _, text := range []string{"a b", "x:y", "host:70000", "[::1", "a/b", ":", "host:-1"} {
		if a, err := parseAddress(text, 0); err == nil {
			t.Errorf("%q was read as %+v", text, a)
		}
	}
}

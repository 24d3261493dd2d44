package providertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a server that counts: a GET tells the count, anything else adds to
// it.
func served(t *testing.T) (client *http.Client, line *Line, url string) {
	t.Helper()
	count := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			count++
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, count)
	}))
	t.Cleanup(server.Close)
	line = NewLine(http.DefaultTransport)
	return &http.Client{Transport: line}, line, server.URL
}

// ask returns "status type body", or the error.
func ask(ctx context.Context, client *http.Client, method, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", err
	}
	reply, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	first, _, _ := strings.Cut(string(body), "<title>")
	return fmt.Sprint(reply.StatusCode, " ", reply.Header.Get("Content-Type"), " ", first, reply.Header.Get("Retry-After")), err
}

func TestLine(t *testing.T) {
	for _, tt := range []struct {
		fault Fault
		want  string
		err   error
		count string // on the server afterwards
	}{
		{LostRequest, "", syscall.ECONNRESET, "0"},
		{LostReply, "", syscall.ECONNRESET, "1"},
		{Throttled, "429 application/json {}", nil, "0"},
		{ThrottledFor, "429 application/json {}7", nil, "0"},
		{ServerError, "500 application/json {}", nil, "0"},
		{LateError, "500 application/json {}", nil, "1"},
		{BadGateway, "502 text/html <html><head>", nil, "0"},
		{LateGateway, "502 text/html <html><head>", nil, "1"},
		{OddAnswer, "200 application/json; charset=utf-8 1", nil, "1"},
		{"", "200 application/json 1", nil, "1"},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			client, line, url := served(t)
			line.Inject(Trouble{Fault: tt.fault, Call: Write, Times: 1})
			got, err := ask(t.Context(), client, "POST", url)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
			if got, err := ask(t.Context(), client, "GET", url); got != "200 application/json "+tt.count || err != nil {
				t.Errorf("afterwards %q, %v; want a count of %s", got, err, tt.count)
			}
			if line.Writes() != 1 {
				t.Errorf("%d writes, want 1", line.Writes())
			}
		})
	}
}

func TestLineHangs(t *testing.T) {
	client, line, url := served(t)
	line.Inject(Trouble{Fault: Hang, Call: Read, Times: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, client, "GET", url); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
	}
}

// The past is what the last read of the same address showed.
func TestLineFreezes(t *testing.T) {
	client, line, url := served(t)
	read := func(want string) {
		t.Helper()
		if got, err := ask(t.Context(), client, "GET", url); got != "200 application/json "+want || err != nil {
			t.Errorf("%q, %v; want %s", got, err, want)
		}
	}
	read("0")
	line.Freeze(2)
	if _, err := ask(t.Context(), client, "POST", url); err != nil {
		t.Fatal(err)
	}
	read("0")
	read("0")
	read("1")
	line.Freeze(9)
	if _, err := ask(t.Context(), client, "DELETE", url); err != nil {
		t.Fatal(err)
	}
	read("1")
	line.Clear()
	read("2")
}

// A trouble spares the calls that it is to skip, and ends.
func TestTroubles(t *testing.T) {
	var troubles Troubles
	troubles.Inject(Trouble{Fault: Throttled, Call: Write, Skip: 1, Times: 2})
	troubles.Inject(Trouble{Fault: Hang, Call: Read, Times: 1})
	want := []Fault{"", Throttled, Throttled, "", ""}
	for i, fault := range want {
		if got := troubles.Strike(Write); got != fault {
			t.Errorf("write %d: %q, want %q", i, got, fault)
		}
	}
	if first, second := troubles.Strike(Read), troubles.Strike(Read); first != Hang || second != "" {
		t.Errorf("reads: %q, %q", first, second)
	}
}

package judge_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/portsnare/portsnare/providers/fakes/judge"
)

// court hears complaints instead of failing.
type court struct {
	*testing.T
	complaints []string
}

func (c *court) Errorf(format string, args ...any) {
	c.complaints = append(c.complaints, fmt.Sprintf(format, args...))
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name         string
		path, body   string
		status       int
		answer       string
		contentType  string
		wantComplain string // how the one complaint begins
	}{
		{"all is well", "/cakes/apple", `{"slices":3}`, 200, `{"left":1}`, "application/json", ""},
		{"with a charset", "/cakes/apple", `{"slices":3}`, 200, `{"left":1}`, "application/json; charset=utf-8", ""},
		{"a refusal", "/cakes/apple", `{"slices":3}`, 400, `{"any":"thing"}`, "application/json", ""},
		{"a status that nobody declared", "/cakes/apple", `{"slices":3}`, 502, "<html>", "text/html", ""},
		{"a request without a field", "/cakes/apple", `{}`, 200, `{"left":1}`, "application/json", "judge: request PUT /cakes/apple: "},
		{"a field of another type", "/cakes/apple", `{"slices":"3"}`, 200, `{"left":1}`, "application/json", "judge: request PUT /cakes/apple: "},
		{"an answer without a field", "/cakes/apple", `{"slices":3}`, 200, `{}`, "application/json", "judge: answer 200 to PUT /cakes/apple: "},
		{"an answer of another type", "/cakes/apple", `{"slices":3}`, 200, "<html>", "text/html", "judge: answer 200 to PUT /cakes/apple: "},
		{"another good status", "/cakes/apple", `{"slices":3}`, 201, `{"left":1}`, "application/json", "judge: answer 201 to PUT /cakes/apple: "},
		{"another path", "/pies/apple", `{"slices":3}`, 200, `{"left":1}`, "application/json", "judge: PUT /pies/apple: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &court{T: t}
			server := httptest.NewServer(judge.New(c, "testdata/shop.yaml", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); string(body) != tt.body || err != nil {
					t.Errorf("the fake was asked %q (%v), want %q", body, err, tt.body)
				}
				w.Header().Set("Content-Type", tt.contentType)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.answer)
			})))
			defer server.Close()
			status, answer := put(t, server.URL+tt.path, tt.body)
			if status != tt.status || answer != tt.answer {
				t.Errorf("answer %d %s, want %d %s", status, answer, tt.status, tt.answer)
			}
			want := 1
			if tt.wantComplain == "" {
				want = 0
			}
			if len(c.complaints) != want || want == 1 && !strings.HasPrefix(c.complaints[0], tt.wantComplain) {
				t.Errorf("complaints %q, want %d beginning with %q", c.complaints, want, tt.wantComplain)
			}
		})
	}
}

func put(t *testing.T, url, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close() //nolint:errcheck // it is read below
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

// Where there is no file nothing is judged.
func TestWrapWithoutFile(t *testing.T) {
	t.Setenv("PORTSNARE_SPECS", "testdata")
	next := http.NotFoundHandler()
	if _, ok := judge.Wrap(t, "shop.yaml", next).(*judge.Judge); !ok {
		t.Error("a file that is there is not used")
	}
	if _, ok := judge.Wrap(t, "absent.yaml", next).(*judge.Judge); ok {
		t.Error("a file that is absent is used")
	}
}

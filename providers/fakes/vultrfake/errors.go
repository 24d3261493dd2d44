package vultrfake

import (
	"encoding/json"
	"fmt"
	"net/http"
)

const jsonType = "application/json"

// An Error is a refusal of the API. As an http.Handler it writes itself, so
// that a [Hook] can answer with it.
type Error struct {
	Status     int // HTTP status
	Message    string
	RetryAfter string // header of that name, if not empty
}

func (e *Error) Error() string { return fmt.Sprintf("%s (HTTP status %d)", e.Message, e.Status) }

// ServeHTTP writes the reply as Vultr does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if e.RetryAfter != "" {
		w.Header().Set("Retry-After", e.RetryAfter)
	}
	writeJSON(w, e.Status, jsonType, map[string]any{"error": e.Message, "status": e.Status})
}

// writeJSON ignores what goes wrong in writing: then nobody is there to tell.
func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// refuse returns an error of the client, HTTP 400.
func refuse(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

var (
	// errDuplicate: "This rule is already defined" in the log of a project in
	// public; vultr/vultr-node#449 confirms that it is an error.
	errDuplicate = refuse("This rule is already defined")
	errFull      = refuse("The group holds as many rules as it may.")
	// errFormat: vultr/terraform-provider-vultr#81.
	errFormat  = refuse("invalid resource format")
	errNoGroup = &Error{Status: http.StatusNotFound, Message: "Firewall group ID not found."}
	// errNoRule: vultr/terraform-provider-vultr#321.
	errNoRule    = &Error{Status: http.StatusNotFound, Message: "Firewall rule ID not found."}
	errNoPath    = &Error{Status: http.StatusNotFound, Message: "Not found."}
	errKey       = &Error{Status: http.StatusUnauthorized, Message: "Invalid API token."}
	errForbidden = &Error{Status: http.StatusForbidden, Message: "Unauthorized"}
)

// notApplied is the reply when the change stands and [Fake.OnChange] failed.
func notApplied(err error) error {
	return &Error{Status: http.StatusInternalServerError, Message: "Server error: " + err.Error()}
}

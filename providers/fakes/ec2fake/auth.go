package ec2fake

import (
	"net/http"
	"strings"
)

// A credential is who signed a request, for which region.
type credential struct{ keyID, region string }

// readCredential reads a Signature Version 4 Authorization header. It does not
// verify the signature.
func readCredential(header string) (credential, error) {
	if header == "" {
		return credential{}, &Error{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	}
	list, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return credential{}, refuse("IncompleteSignature", "Unsupported AWS 'algorithm': the Authorization header must start with AWS4-HMAC-SHA256")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return credential{}, refuse("IncompleteSignature", "Authorization header requires '%s' parameter.", name)
		}
	}
	return readScope(fields["Credential"])
}

func readScope(text string) (credential, error) {
	scope := strings.Split(text, "/")
	if len(scope) != 5 { // StreisandEffect/streisand#485
		return credential{}, authFailure("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", text)
	}
	if scope[3] != "ec2" || scope[4] != "aws4_request" {
		return credential{}, authFailure("Credential should be scoped to correct service: 'ec2'.")
	}
	return credential{keyID: scope[0], region: scope[2]}, nil
}

// authenticate returns the region that a request is for.
func (f *Fake) authenticate(c credential) (*store, error) {
	if !f.keys[c.keyID] {
		return nil, authFailure("AWS was not able to validate the provided access credentials")
	}
	s, ok := f.regions[c.region]
	if !ok {
		return nil, authFailure("Credential should be scoped to a valid region, not '%s'.", c.region)
	}
	return s, nil
}

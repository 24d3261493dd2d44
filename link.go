package portsnare

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
)

// Subjects of the link, one for each host and kind of message. An agent may
// hear its own push and resync subjects and speak on its own report, hits and bans
// subjects.
const (
	subjectOrder  = "portsnare.order."
	subjectPush   = "portsnare.push."
	subjectReport = "portsnare.report."
	subjectHits   = "portsnare.hits."
	subjectBans   = "portsnare.bans."
	subjectResync = "portsnare.resync."
	subjectInbox  = "_INBOX."

	// SubjectControl is where the command line asks the controller things; the
	// verb follows, such as "status".
	SubjectControl = "portsnare.control."

	// OrderStream is the JetStream stream that keeps the latest order of each
	// host and republishes it on the host's push subject.
	OrderStream = "PORTSNARE_ORDERS"
)

// OrderSubject is where the controller stores a host's order.
func OrderSubject(host string) string { return subjectOrder + host }

// OrderRequest is where an agent asks for its stored order; the message that
// answers has the order as its body, or no body where there is none (direct get,
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md,
// checked 2026-11-21).
func OrderRequest(host string) string {
	return "$JS.API.DIRECT.GET." + OrderStream + "." + OrderSubject(host)
}

// InboxPrefix is what the reply subjects of a host begin with; a dot follows.
func InboxPrefix(host string) string { return subjectInbox + host }

// PushSubject is where a stored order is republished to its host.
func PushSubject(host string) string { return subjectPush + host }

// ReportSubject is where an agent publishes its [Report].
func ReportSubject(host string) string { return subjectReport + host }

// HitsSubject is where an agent publishes each [HitBatch].
func HitsSubject(host string) string { return subjectHits + host }

// BansSubject is where an agent publishes each [BanUpdate].
func BansSubject(host string) string { return subjectBans + host }

// ResyncSubject is where the controller asks an agent for all of its bans. The
// message has no body.
func ResyncSubject(host string) string { return subjectResync + host }

// Token is what a host needs to join: where the controller is, how to know it,
// and the host's own credential. It is a secret.
type Token struct {
	Host string   `json:"host"`
	URLs []string `json:"urls"` // such as "tls://203.0.113.5:4222"
	CA   []byte   `json:"ca"`   // DER certificate that signs the controller's
	Seed string   `json:"seed"` // nkey seed of the host's user
}

// tokenPrefix names kind and version, so that a token is known when seen.
const tokenPrefix = "portsnare1_"

// String returns the token as one word that [ParseToken] reads.
func (t Token) String() string {
	text, err := json.Marshal(t)
	if err != nil { // strings and bytes always marshal
		panic(err)
	}
	sum := crc32.ChecksumIEEE(text)
	text = append(text, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(text)
}

// ParseToken reads what [Token.String] wrote. A word that was cut or altered
// on its way is an error of kind [Invalid].
func ParseToken(s string) (Token, error) {
	var t Token
	word, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	if !ok {
		return t, invalidf("this is no token: want a word that begins with %s", tokenPrefix)
	}
	text, err := base64.RawURLEncoding.DecodeString(word)
	if err != nil || len(text) < 4 {
		return t, errTokenDamaged()
	}
	text, tail := text[:len(text)-4], text[len(text)-4:]
	sum := uint32(tail[0])<<24 | uint32(tail[1])<<16 | uint32(tail[2])<<8 | uint32(tail[3])
	if sum != crc32.ChecksumIEEE(text) || json.Unmarshal(text, &t) != nil {
		return Token{}, errTokenDamaged()
	}
	if err := t.validate(); err != nil {
		return Token{}, fmt.Errorf("token: %w", err)
	}
	return t, nil
}

func (t Token) validate() error {
	if err := checkName(t.Host); err != nil {
		return err
	}
	if len(t.URLs) == 0 || len(t.CA) == 0 || t.Seed == "" {
		return invalidf("address, certificate or credential is missing")
	}
	return nil
}

func errTokenDamaged() error {
	return invalidf("the token is damaged: copy it again as a whole")
}

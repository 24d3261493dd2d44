package portsnare

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
)

// Token is what a host needs to reach its controller: where the controller is,
// how to know it, and a credential. It is a secret.
type Token struct {
	Host string   `json:"host"`
	URLs []string `json:"urls"` // such as "tls://203.0.113.5:4222"
	CA   []byte   `json:"ca"`   // DER certificate that signs the controller's
	Seed string   `json:"seed"` // nkey seed: the private key of the credential

	// Use says what Seed is. It is empty in a token of the first version.
	Use TokenUse `json:"use,omitempty"`
}

// TokenUse says what the key in a token is good for.
type TokenUse string

// The uses of a token's key.
const (
	// ForEver: a token of the first version. The controller made the key, and
	// whoever has the token is the host.
	ForEver TokenUse = ""
	// ToJoin: the key is good for one join, before its time is over.
	ToJoin TokenUse = "join"
	// Joined: the host made the key, and nobody else has ever had it. Such a
	// token is stored on the host and never leaves it.
	Joined TokenUse = "joined"
)

// ServerName is the name that the controller's certificate bears for whoever
// holds a token with this CA, a DER certificate. It follows from the CA, which
// the controller never shows on its port, so nobody else can ask for it.
func ServerName(ca []byte) string {
	sum := sha256.Sum256(append([]byte("server name "), ca...))
	return hex.EncodeToString(sum[:16]) + ".invalid"
}

// The prefixes name kind and version, so that a token is known when seen. A
// program of the first version refuses a token of the second.
const (
	tokenPrefix1 = "portsnare1_"
	tokenPrefix2 = "portsnare2_"
)

// String returns the token as one word that [ParseToken] reads.
func (t Token) String() string {
	text, err := json.Marshal(t)
	if err != nil { // strings and bytes always marshal
		panic(err)
	}
	sum := crc32.ChecksumIEEE(text)
	text = append(text, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	prefix := tokenPrefix2
	if t.Use == ForEver {
		prefix = tokenPrefix1
	}
	return prefix + base64.RawURLEncoding.EncodeToString(text)
}

// ParseToken reads what [Token.String] wrote. A word that was cut or altered
// on its way is an error of kind [Invalid].
func ParseToken(s string) (Token, error) {
	var t Token
	s = strings.TrimSpace(s)
	word, first := strings.CutPrefix(s, tokenPrefix1)
	if !first {
		var second bool
		if word, second = strings.CutPrefix(s, tokenPrefix2); !second {
			return t, invalidf("not a token: must start with %s", tokenPrefix2)
		}
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(word)
	if err != nil || len(text) < 4 {
		return t, errTokenDamaged()
	}
	text, tail := text[:len(text)-4], text[len(text)-4:]
	sum := uint32(tail[0])<<24 | uint32(tail[1])<<16 | uint32(tail[2])<<8 | uint32(tail[3])
	if sum != crc32.ChecksumIEEE(text) || json.Unmarshal(text, &t) != nil || first != (t.Use == ForEver) {
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
	switch t.Use {
	case ForEver, ToJoin, Joined:
		return nil
	}
	return invalidf("this token is for a newer version of this program")
}

func errTokenDamaged() error {
	return invalidf("the token is damaged: copy it again as a whole")
}

package hostagent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// seal is the first line of each file in the state directory: this word, and the
// SHA-256 of the file's name and all that follows. One changed bit is found, and a
// file under another's name.
const seal = "portsnare-agent-state-2 "

// errDamaged is the state of a file whose seal is broken.
var errDamaged = errors.New("damaged: it is not what the agent has written")

// wrap returns the content of a file with its seal.
func wrap(name string, body []byte) []byte {
	return append(fmt.Appendf(nil, "%s%s\n", seal, sum(name, body)), body...)
}

// unwrap returns what wrap was given. The files of the first version had no seal,
// and are returned as they are; plain says so.
func unwrap(name string, text []byte) (body []byte, plain bool, err error) {
	head, body, ok := bytes.Cut(text, []byte("\n"))
	given, sealed := bytes.CutPrefix(head, []byte(seal))
	switch {
	case len(text) > 0 && (text[0] == '{' || text[0] == '['):
		return text, true, nil
	case !ok || !sealed || string(given) != sum(name, body):
		return nil, false, errDamaged
	}
	return body, false, nil
}

func sum(name string, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", name)
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

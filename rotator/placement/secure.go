package placement

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
)

// SecureRand returns a generator whose every number comes from crypto/rand, so
// that no amount of past output tells anything about the next.
func SecureRand() *rand.Rand { return rand.New(secureSource{}) }

type secureSource struct{}

// Uint64 never fails: crypto/rand.Read aborts the program rather than return
// an error (since Go 1.24).
func (secureSource) Uint64() uint64 {
	var b [8]byte
	crand.Read(b[:])
	return binary.NativeEndian.Uint64(b[:])
}

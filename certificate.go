package portsnare

import (
	"crypto/ed25519"
	"crypto/x509"
	"math/big"
	"strings"
	"time"
)

// SelfCertificate returns the TLS certificate, as DER, with which the owner of
// key shows it to the controller. It says nothing but the public key: the
// controller looks that up among those of its hosts, so the certificate needs no
// name, and no end.
func SelfCertificate(key ed25519.PrivateKey) ([]byte, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	return x509.CreateCertificate(nil, template, template, key.Public(), key)
}

// RefusedByTLS reports whether err, or what it wraps, is the alert with which a
// controller turns away a peer whose key it does not know. The alerts have no type
// that could be asked for (crypto/tls, Go 1.26).
func RefusedByTLS(err error) bool {
	return err != nil && strings.Contains(err.Error(), "remote error: tls: bad certificate")
}

// StrangeToTLS reports the same of the alert for a peer that asks for the name of
// another controller.
func StrangeToTLS(err error) bool {
	return err != nil && strings.Contains(err.Error(), "remote error: tls: internal error")
}

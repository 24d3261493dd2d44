package embedded

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"slices"
)

func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	return encodeCertificate(der), err
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func randomBytes(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := rand.Read(b)
	return b, err
}

func newKey() ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	text, err := encodeKey(key)
	return text, key, err
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// encodePair is the inverse of parsePair.
func encodePair(pair *tls.Certificate) []byte {
	key, err := encodeKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil { // it was made by newKey
		panic(err)
	}
	return slices.Concat(key, encodeCertificate(pair.Certificate[0]))
}

// parsePair returns nil where the pair is damaged: it is then made anew.
func parsePair(pair []byte) *tls.Certificate {
	c, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		return nil
	}
	if _, ok := c.PrivateKey.(*ecdsa.PrivateKey); !ok {
		return nil
	}
	return &c
}

// parseAuthority reads certificate and key, each from the first PEM block of its
// kind. A certificate that was not signed by the key is an error, so a changed
// byte in either is noticed.
func parseAuthority(certificate, key []byte) (a authority, err error) {
	if a.key, err = parseKey(key); err != nil {
		return a, err
	}
	der := block(certificate, "CERTIFICATE")
	if der == nil {
		return a, errors.New("no PEM certificate in it")
	}
	if a.ca, err = x509.ParseCertificate(der); err != nil {
		return a, err
	}
	if !a.key.PublicKey.Equal(a.ca.PublicKey) {
		return a, errors.New("key and certificate do not belong together")
	}
	return a, a.ca.CheckSignatureFrom(a.ca)
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	der := block(text, "PRIVATE KEY")
	if der == nil {
		return nil, errors.New("no PEM key in it")
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(*ecdsa.PrivateKey); ok {
		return key, nil
	}
	return nil, errors.New("not an ECDSA key")
}

// block returns the content of the first PEM block of that kind, or nil.
func block(text []byte, kind string) []byte {
	for {
		found, rest := pem.Decode(text)
		if found == nil {
			return nil
		}
		if found.Type == kind {
			return found.Bytes
		}
		text = rest
	}
}

// splitNames sorts names into those of DNS and addresses, each once.
func splitNames(names []string) (dns []string, ips []net.IP) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, name)
		}
	}
	slices.Sort(dns)
	slices.SortFunc(ips, func(a, b net.IP) int { return bytes.Compare(a.To16(), b.To16()) })
	return slices.Compact(dns), slices.CompactFunc(ips, net.IP.Equal)
}

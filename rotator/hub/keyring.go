package hub

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Lifetimes of certificates.
const (
	caLife      = 10 * 365 * 24 * time.Hour
	serverLife  = 365 * 24 * time.Hour
	renewBefore = 30 * 24 * time.Hour // of a server certificate's end
	// backdate lets a host in whose clock is behind, as after a cold boot.
	backdate = 24 * time.Hour
)

// keyring is the controller's own certificate authority and the server
// certificate that it signs.
type keyring struct {
	path  string   // of the server certificate
	names []string // names and addresses that the certificate is good for
	now   func() time.Time

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey

	mu     sync.Mutex
	server *tls.Certificate
}

// openKeyring loads the keys below dir and makes those that are missing. A
// damaged authority is an error: a new one would lock out every host.
func openKeyring(dir string, names []string, now func() time.Time) (*keyring, error) {
	k := &keyring{path: filepath.Join(dir, serverFile), names: names, now: now}
	keyPEM, err := readOrMake(filepath.Join(dir, caKeyFile), newKey)
	if err != nil {
		return nil, err
	}
	if k.caKey, err = parseKey(keyPEM); err != nil {
		return nil, fmt.Errorf("%s: %w", caKeyFile, err)
	}
	caPEM, err := readOrMake(filepath.Join(dir, caFile), k.signCA)
	if err != nil {
		return nil, err
	}
	if k.ca, err = parseCertificate(caPEM); err != nil {
		return nil, fmt.Errorf("%s: %w", caFile, err)
	}
	if !k.caKey.PublicKey.Equal(k.ca.PublicKey) {
		return nil, fmt.Errorf("%s and %s do not belong together", caFile, caKeyFile)
	}
	if pair, err := os.ReadFile(k.path); err == nil {
		k.server = parsePair(pair)
	}
	_, err = k.certificate(nil)
	return k, err
}

// tlsConfig returns the server's side of the link: TLS 1.3, nothing older.
func (k *keyring) tlsConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: k.certificate}
}

// certificate returns the server certificate, a new one where the present one
// is about to run out or is not good for all names.
func (k *keyring) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.server != nil && k.good(k.server.Leaf) {
		return k.server, nil
	}
	pair, err := k.signServer()
	if err != nil {
		return nil, err
	}
	if err := writeFile(k.path, pair); err != nil {
		return nil, err
	}
	k.server = parsePair(pair)
	return k.server, nil
}

func (k *keyring) good(leaf *x509.Certificate) bool {
	dns, ips := splitNames(k.names)
	lasts := leaf.NotAfter.Sub(k.now()) > renewBefore || leaf.NotAfter.Equal(k.ca.NotAfter)
	return lasts && leaf.CheckSignatureFrom(k.ca) == nil &&
		slices.Equal(leaf.DNSNames, dns) &&
		slices.EqualFunc(leaf.IPAddresses, ips, net.IP.Equal)
}

func (k *keyring) signCA() ([]byte, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "portsnare"},
		NotBefore:             k.now().Add(-backdate),
		NotAfter:              k.now().Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	return sign(template, template, &k.caKey.PublicKey, k.caKey)
}

func (k *keyring) signServer() ([]byte, error) {
	keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	end := k.now().Add(serverLife)
	if end.After(k.ca.NotAfter) {
		end = k.ca.NotAfter
	}
	dns, ips := splitNames(k.names)
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "portsnare controller"},
		NotBefore:   k.now().Add(-backdate),
		NotAfter:    end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    dns,
		IPAddresses: ips,
	}
	certificate, err := sign(template, k.ca, &key.PublicKey, k.caKey)
	return slices.Concat(keyPEM, certificate), err
}

func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM key in it")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(*ecdsa.PrivateKey); ok {
		return key, nil
	}
	return nil, errors.New("not an ECDSA key")
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM certificate in it")
	}
	return x509.ParseCertificate(block.Bytes)
}

// parsePair returns nil where the pair is damaged: it is then simply made anew.
func parsePair(pair []byte) *tls.Certificate {
	c, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		return nil
	}
	return &c
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

package embedded

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// Identity is what the operator needs: how to know the controller, and the
// credential.
type Identity struct {
	URL string // where the controller of this machine listens
	TLS *tls.Config
	Key nkeys.KeyPair
}

// The files that the operator needs of a state directory.
const (
	AuthorityFile = authorityFile
	OperatorFile  = operatorFile
)

// ReadIdentity reads the operator's identity from a state directory. url takes
// the place of the one that stands there, unless it is empty.
func ReadIdentity(dir, url string) (id Identity, err error) {
	if id.URL = url; url == "" {
		text, err := readState(dir, urlFile)
		if err != nil {
			return id, err
		}
		id.URL = string(text)
	}
	ca, err := readState(dir, authorityFile)
	if err != nil {
		return id, err
	}
	der := block(ca, "CERTIFICATE")
	if der == nil {
		return id, &portsnare.Error{Kind: portsnare.Invalid, Op: "read", Subject: authorityFile, Err: errors.New("no PEM certificate in it")}
	}
	seed, err := os.ReadFile(filepath.Join(dir, operatorFile))
	if err != nil {
		return id, stateError(err)
	}
	if id.Key, err = nkeys.FromSeed(seed); err != nil {
		return id, &portsnare.Error{Kind: portsnare.Invalid, Op: "read", Subject: operatorFile, Err: err,
			Hint: "copy it again from the controller's state directory"}
	}
	id.TLS, err = ClientConfig(der, seed)
	return id, err
}

// ClientConfig returns how a client with that seed, of an nkey, connects to the
// server whose authority is ca, a DER certificate.
func ClientConfig(ca, seed []byte) (*tls.Config, error) {
	authority, err := x509.ParseCertificate(ca)
	if err != nil {
		return nil, err
	}
	_, raw, err := nkeys.DecodeSeed(seed)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(raw)
	certificate, err := portsnare.SelfCertificate(key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: portsnare.ServerName(ca),
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
	}, nil
}

// readState reads a sealed file of the state directory.
func readState(dir, name string) ([]byte, error) {
	data, err := ReadSealed(filepath.Join(dir, name))
	return data, stateError(err)
}

func stateError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &portsnare.Error{Kind: portsnare.Unavailable, Err: err, Hint: hintRunning}
	case errors.Is(err, fs.ErrPermission):
		return &portsnare.Error{Kind: portsnare.Denied, Err: err, Hint: "run it as root, or as the user that the controller runs as"}
	}
	return err
}

const hintRunning = "is `portsnare run` running? systemctl status portsnare"

package embedded

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
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
	dir string
	now func() time.Time
	log *slog.Logger

	ca   authority
	name string // that the server certificate bears

	// Of the first version: its authority, whose name is "portsnare", and the
	// names that hosts of that time look for. old.ca is nil where there is none.
	old      authority
	oldNames []string

	mu        sync.Mutex
	server    *tls.Certificate
	oldServer *tls.Certificate
	made      bool  // the authority was made now, so nothing else can be there
	unsaved   error // why the present server certificate is not on disk
}

// authority signs server certificates.
type authority struct {
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

// openKeyring loads the keys below dir and makes those that are missing. A
// damaged authority is an error: a new one would lock out every host.
func openKeyring(dir string, oldNames []string, now func() time.Time, log *slog.Logger) (*keyring, error) {
	k := &keyring{dir: dir, now: now, log: log, oldNames: oldNames}
	if err := k.openOld(); err != nil {
		return nil, err
	}
	if err := k.openAuthority(); err != nil {
		return nil, err
	}
	k.name = portsnare.ServerName(k.ca.ca.Raw)
	k.openServer()
	_, err := k.certificate()
	return k, err
}

// openAuthority loads the authority. It is made only where the whole directory
// is new, or of the first version.
func (k *keyring) openAuthority() error {
	path := filepath.Join(k.dir, authorityKey)
	pair, err := ReadSealed(path)
	if errors.Is(err, fs.ErrNotExist) {
		if used := k.inUse(); used != "" {
			return errKeyMissing(authorityKey, used)
		}
		if pair, err = k.makeAuthority(); err == nil {
			err = WriteSealed(path, pair)
		}
		k.made = true
	}
	if err != nil {
		return damagedKey(authorityKey, err)
	}
	if k.ca, err = parseAuthority(pair, pair); err != nil {
		return damagedKey(authorityKey, err)
	}
	return k.publish()
}

// inUse names a file that shows that the authority must have existed.
func (k *keyring) inUse() string {
	for _, name := range []string{authorityFile, serverFile} {
		if exists(filepath.Join(k.dir, name)) && k.old.ca == nil {
			return name
		}
	}
	if exists(filepath.Join(k.dir, authorityFile)) {
		return authorityFile
	}
	return ""
}

// publish writes the authority's certificate to a file of its own, which is no
// secret, where it does not stand there.
func (k *keyring) publish() error {
	path := filepath.Join(k.dir, authorityFile)
	want := seal(encodeCertificate(k.ca.ca.Raw))
	got, err := os.ReadFile(path)
	switch {
	case err == nil && slices.Equal(got, want):
		return nil
	case err == nil:
		k.log.Warn(msgRebuilt, keyFile, authorityFile, keyFrom, authorityKey)
	}
	return writeFile(path, want)
}

// openOld loads the authority of the first version, if this directory has it.
func (k *keyring) openOld() error {
	keyText, keyErr := os.ReadFile(filepath.Join(k.dir, oldAuthorityKey))
	text, err := os.ReadFile(filepath.Join(k.dir, oldAuthorityFile))
	switch {
	case errors.Is(keyErr, fs.ErrNotExist) && errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(keyErr, fs.ErrNotExist):
		return errKeyMissing(oldAuthorityKey, oldAuthorityFile)
	case errors.Is(err, fs.ErrNotExist):
		return errKeyMissing(oldAuthorityFile, oldAuthorityKey)
	case keyErr != nil || err != nil:
		return errors.Join(keyErr, err)
	}
	if k.old, err = parseAuthority(text, keyText); err != nil {
		return damagedKey(oldAuthorityFile+" and "+oldAuthorityKey, err)
	}
	return nil
}

// openServer loads the server certificate. A damaged one is made anew.
func (k *keyring) openServer() {
	pair, err := ReadSealed(filepath.Join(k.dir, serverFile))
	if err == nil {
		k.server = parsePair(pair)
	}
	if k.server == nil && !errors.Is(err, fs.ErrNotExist) && !k.made {
		k.log.Warn(msgRebuilt, keyFile, serverFile, keyFrom, authorityKey)
	}
}

// certificate returns the server certificate, a new one where the present one
// is about to run out. One that cannot be written is used all the same.
func (k *keyring) certificate() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.server != nil && k.good(k.server.Leaf, k.ca) && slices.Equal(k.server.Leaf.DNSNames, []string{k.name}) {
		k.save(nil)
		return k.server, nil
	}
	template := &x509.Certificate{DNSNames: []string{k.name}}
	pair, err := k.signServer(template, k.ca)
	if err != nil {
		return nil, err
	}
	k.server = parsePair(pair)
	k.save(pair)
	return k.server, nil
}

// save writes the pair given, or the present one where that failed before. The
// failure is logged once.
func (k *keyring) save(pair []byte) {
	if pair == nil {
		if k.unsaved == nil {
			return
		}
		pair = encodePair(k.server)
	}
	before := k.unsaved
	k.unsaved = WriteSealed(filepath.Join(k.dir, serverFile), pair)
	if k.unsaved != nil && before == nil {
		k.log.Error(msgUnsaved, keyFile, serverFile, keyError, k.unsaved)
	}
}

// problem says what could not be written; nil where all is.
func (k *keyring) problem() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unsaved
}

// oldCertificate returns what hosts of the first version are shown. It is made
// with each start and never stored.
func (k *keyring) oldCertificate() (*tls.Certificate, error) {
	if k.old.ca == nil {
		return nil, errors.New("there is no authority of the first version")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.oldServer != nil && k.good(k.oldServer.Leaf, k.old) {
		return k.oldServer, nil
	}
	dns, ips := splitNames(k.oldNames)
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "portsnare controller"}, DNSNames: dns, IPAddresses: ips}
	pair, err := k.signServer(template, k.old)
	if err != nil {
		return nil, err
	}
	k.oldServer = parsePair(pair)
	return k.oldServer, nil
}

func (k *keyring) good(leaf *x509.Certificate, by authority) bool {
	lasts := leaf.NotAfter.Sub(k.now()) > renewBefore || leaf.NotAfter.Equal(by.ca.NotAfter)
	return lasts && leaf.NotBefore.Before(k.now()) && leaf.CheckSignatureFrom(by.ca) == nil
}

// makeAuthority names the authority by chance: the name stands in every
// certificate that it signs.
func (k *keyring) makeAuthority() ([]byte, error) {
	keyPEM, key, err := newKey()
	if err != nil {
		return nil, err
	}
	name, err := randomBytes(16)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: hex.EncodeToString(name)},
		NotBefore:             k.now().Add(-backdate),
		NotAfter:              k.now().Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	certificate, err := sign(template, template, &key.PublicKey, key)
	return slices.Concat(keyPEM, certificate), err
}

// signServer completes the template and returns key and certificate.
func (k *keyring) signServer(template *x509.Certificate, by authority) ([]byte, error) {
	keyPEM, key, err := newKey()
	if err != nil {
		return nil, err
	}
	end := k.now().Add(serverLife)
	if end.After(by.ca.NotAfter) {
		end = by.ca.NotAfter
	}
	template.NotBefore, template.NotAfter = k.now().Add(-backdate), end
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	certificate, err := sign(template, by.ca, &key.PublicKey, by.key)
	return slices.Concat(keyPEM, certificate), err
}

func damagedKey(file string, err error) error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Op: "read", Subject: file, Err: err,
		Hint: "restore " + file + " from a backup; without it every host has to join again: " +
			"move the state directory away, start, and `portsnare enroll` each host",
	}
}

func errKeyMissing(file, witness string) error {
	return damagedKey(file, fmt.Errorf("it is missing, although %s is there", witness))
}

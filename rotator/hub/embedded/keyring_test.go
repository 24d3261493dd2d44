package embedded

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

func testKeyring(dir string, now func() time.Time) (*keyring, *bytes.Buffer, error) {
	var log bytes.Buffer
	k, err := openKeyring(dir, []string{"localhost"}, now, slog.New(slog.NewTextHandler(&log, nil)))
	return k, &log, err
}

func mustKeyring(t *testing.T, dir string, now func() time.Time) *keyring {
	t.Helper()
	k, _, err := testKeyring(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// certificateFor checks what a host would and returns the serial number.
func certificateFor(t *testing.T, k *keyring, now time.Time) string {
	t.Helper()
	pair, err := k.certificate()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(k.ca.ca)
	name := portsnare.ServerName(k.ca.ca.Raw)
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
		t.Errorf("certificate: %v", err)
	}
	return pair.Leaf.SerialNumber.String()
}

func TestServerCertificate(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	clock := func() time.Time { return now }
	serial := func() string { return certificateFor(t, mustKeyring(t, dir, clock), now) }
	first := serial()
	if serial() != first {
		t.Error("a good certificate was replaced")
	}
	now = now.Add(serverLife - renewBefore - time.Hour)
	if serial() != first {
		t.Error("the certificate was renewed too early")
	}
	now = now.Add(2 * time.Hour)
	if serial() == first {
		t.Error("the certificate was not renewed before its end")
	}
}

// The certificate and its issuer are random: neither says what this is.
func TestServerCertificateSaysNothing(t *testing.T) {
	pair, err := mustKeyring(t, t.TempDir(), time.Now).certificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"portsnare", "localhost", "controller"} {
		if bytes.Contains(bytes.ToLower(pair.Certificate[0]), []byte(word)) {
			t.Errorf("the certificate says %q", word)
		}
	}
}

// The running server renews without a restart.
func TestCertificateRenewsItself(t *testing.T) {
	now := time.Now()
	k := mustKeyring(t, t.TempDir(), func() time.Time { return now })
	before := certificateFor(t, k, now)
	now = now.Add(serverLife - renewBefore + time.Hour)
	if certificateFor(t, k, now) == before {
		t.Error("the certificate was not renewed")
	}
	now = k.ca.ca.NotAfter.Add(-time.Hour) // no certificate can outlive its authority
	last := certificateFor(t, k, now)
	if certificateFor(t, k, now) != last {
		t.Error("a certificate is made for every connection at the end of the authority's life")
	}
}

// A state directory that is full or gone costs no handshake: the certificate lives
// in memory, that is said once, and it is written when it can be.
func TestCertificateThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	k, log, err := testKeyring(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(serverLife - renewBefore + time.Hour)
	renewed := certificateFor(t, k, now)
	if certificateFor(t, k, now) != renewed {
		t.Error("another certificate is made for each connection")
	}
	if k.problem() == nil || strings.Count(log.String(), msgUnsaved) != 1 {
		t.Errorf("problem %v, log:\n%s\nwant it said, and once", k.problem(), log)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if certificateFor(t, k, now); k.problem() != nil {
		t.Errorf("writable again, and the problem stays: %v", k.problem())
	}
	if got := certificateFor(t, mustKeyring(t, dir, func() time.Time { return now }), now); got != renewed {
		t.Error("the certificate was not written when it could be")
	}
}

// Whatever can be made anew is, with a word; the authority never is.
func TestKeyringLost(t *testing.T) {
	for name, refused := range map[string]bool{authorityKey: true, authorityFile: false, serverFile: false} {
		dir := t.TempDir()
		k := mustKeyring(t, dir, time.Now)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		after, _, err := testKeyring(dir, time.Now)
		if (err != nil) != refused {
			t.Errorf("without %s: %v", name, err)
		}
		if refused {
			if portsnare.KindOf(err) != portsnare.Invalid || !strings.Contains(portsnare.HintOf(err), "backup") {
				t.Errorf("without %s: %v of kind %q, hint %q", name, err, portsnare.KindOf(err), portsnare.HintOf(err))
			}
			continue
		}
		if !bytes.Equal(k.ca.ca.Raw, after.ca.ca.Raw) {
			t.Errorf("without %s the authority was replaced", name)
		}
		certificateFor(t, after, time.Now())
	}
}

// One changed byte in a key file is refused, or made good with a warning.
func TestKeyringDamaged(t *testing.T) {
	dir := t.TempDir()
	mustKeyring(t, dir, time.Now)
	for _, name := range []string{authorityKey, authorityFile, serverFile} {
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(good); i += 5 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			_, log, err := testKeyring(dir, time.Now)
			if err == nil && !strings.Contains(log.String(), msgRebuilt) {
				t.Fatalf("%s with byte %d changed is taken without a word", name, i)
			}
			if (err != nil) != (name == authorityKey) {
				t.Fatalf("%s with byte %d changed: %v", name, i, err)
			}
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

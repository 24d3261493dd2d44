package hub

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestServerCertificate(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	clock := func() time.Time { return now }
	names := []string{"localhost", "127.0.0.1", "controller.example.org", "2001:db8::5"}
	serial := func(names []string) string {
		t.Helper()
		k, err := openKeyring(dir, names, clock)
		if err != nil {
			t.Fatal(err)
		}
		return certificateFor(t, k, names, now)
	}

	first := serial(names)
	if again := serial(names); again != first {
		t.Error("a good certificate was replaced")
	}
	more := append(names, "192.0.2.1")
	second := serial(more)
	if second == first {
		t.Error("the certificate was not renewed for a new address")
	}
	now = now.Add(serverLife - renewBefore - time.Hour)
	if serial(more) != second {
		t.Error("the certificate was renewed too early")
	}
	now = now.Add(2 * time.Hour)
	if serial(more) == second {
		t.Error("the certificate was not renewed before its end")
	}
}

// certificateFor checks what a host would and returns the serial number.
func certificateFor(t *testing.T, k *keyring, names []string, now time.Time) string {
	t.Helper()
	pair, err := k.certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(k.ca)
	for _, name := range names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
			t.Errorf("certificate for %s: %v", name, err)
		}
	}
	return pair.Leaf.SerialNumber.String()
}

// The running server renews without a restart.
func TestCertificateRenewsItself(t *testing.T) {
	now := time.Now()
	k, err := openKeyring(t.TempDir(), []string{"localhost"}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	before := certificateFor(t, k, []string{"localhost"}, now)
	now = now.Add(serverLife - renewBefore + time.Hour)
	if certificateFor(t, k, []string{"localhost"}, now) == before {
		t.Error("the certificate was not renewed")
	}
	now = k.ca.NotAfter.Add(-time.Hour) // no certificate can outlive its authority
	last := certificateFor(t, k, []string{"localhost"}, now)
	if certificateFor(t, k, []string{"localhost"}, now) != last {
		t.Error("a certificate is made for every connection at the end of the authority's life")
	}
}

// Whatever is missing after a kill is made again; the authority stays.
func TestKeyringAfterKill(t *testing.T) {
	for _, lost := range []string{serverFile, caFile} {
		dir := t.TempDir()
		k, err := openKeyring(dir, []string{"localhost"}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
		after, err := openKeyring(dir, []string{"localhost"}, time.Now)
		if err != nil {
			t.Fatalf("without %s: %v", lost, err)
		}
		if lost == serverFile && !bytes.Equal(k.ca.Raw, after.ca.Raw) {
			t.Error("the authority was replaced")
		}
		certificateFor(t, after, []string{"localhost"}, time.Now())
	}
}

func TestServerFileDamaged(t *testing.T) {
	dir := t.TempDir()
	if _, err := openKeyring(dir, []string{"localhost"}, time.Now); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, serverFile), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := openKeyring(dir, []string{"localhost"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	certificateFor(t, k, []string{"localhost"}, time.Now())
}

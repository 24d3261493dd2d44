package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// outcome is what a scan came to.
type outcome struct {
	found    bool // the hidden port can be told from a trap
	ban      int  // the hit that had the scanner banned; 0 for none
	answered bool // anything came back
}

func (o outcome) String() string {
	words := []string{"hidden", "not banned", "silent"}
	if o.found {
		words[0] = "found"
	}
	if o.ban > 0 {
		words[1] = "banned at " + string(rune('0'+o.ban))
	}
	if o.answered {
		words[2] = "answered"
	}
	return strings.Join(words, ", ")
}

// scan is one way to look for the hidden port.
type scan struct {
	name string
	// bare is what it comes to where nobody defends, want where we do.
	bare, want outcome
	only       *family // what the program can do; nil for both
	run        func(w *world, from netip.Addr) error
}

// The outcomes of most.
var (
	naked  = outcome{found: true, answered: true}
	caught = outcome{ban: 3}
	missed = outcome{} // did not count, and learned nothing
)

// swept is what most scans probe: traps that nmap prefers and that an ascending
// sweep meets first, the hidden port, and traps behind it.
var swept = slices.Concat([]uint16{21, 23, 25, 80, 110, 139, 445, 3389}, netlab.Ascending(5012, 5031))

// around is the same for the slow: three traps, the hidden port, one more.
var around = netlab.Ascending(5019, 5023)

var scans = []scan{
	{name: "zmap, port by port", bare: naked, want: caught, run: zmap(around[:4]...), only: &ipv4},
	{name: "nmap -sS", bare: naked, want: caught, run: nmap(swept, "-sS")},
	{name: "nmap -sT", bare: naked, want: caught, run: nmap(around, "-sT", "-r", "--max-retries", "1")},
	{name: "nmap -sF", bare: naked, want: missed, run: nmap(swept, "-sF")},
	{name: "nmap -sN", bare: naked, want: missed, run: nmap(swept, "-sN")},
	{name: "nmap -sX", bare: naked, want: missed, run: nmap(swept, "-sX")},
	{name: "nmap -sA", bare: outcome{answered: true}, want: missed, run: nmap(swept, "-sA")},
	{name: "nmap -sM", bare: outcome{answered: true}, want: missed, run: nmap(swept, "-sM")},
	{name: "nmap -sU", bare: outcome{answered: true}, want: missed, run: nmap(netlab.Ascending(5012, 5031), "-sU", "--max-retries", "1", "-T5")},
	{name: "nmap -r", bare: naked, want: caught, run: nmap(swept, "-sS", "-r")},
	{name: "nmap --min-rate 5000", bare: naked, want: caught, run: nmap(swept, "-sS", "--min-rate", "5000")},
	{name: "nmap -T2", bare: naked, want: caught, run: nmap(around, "-sS", "-r", "-T2", "--max-retries", "0")},
	{name: "nmap -T5", bare: naked, want: caught, run: nmap(swept, "-sS", "-T5")},
	{name: "nmap -g 53", bare: naked, want: caught, run: nmap(swept, "-sS", "-g", "53")},
	{name: "nmap -f", bare: naked, want: caught, run: nmap(swept, "-sS", "-f"), only: &ipv4},
	{name: "nmap -D", bare: naked, want: caught, run: nmapDecoy},
	{name: "masscan", bare: naked, want: caught, run: masscan(swept)},
	{name: "masscan --retries 1", bare: naked, want: caught, run: masscan(swept, "--retries", "1")},
	{name: "zmap, one port", bare: naked, want: outcome{found: true, answered: true}, run: zmap(hiddenPort), only: &ipv4},
	{name: "hping3 -p ++", bare: naked, want: caught, run: hping("-S", "-p", "++5019", "-c", "5", "-i", "u20000"), only: &ipv4},
	{name: "hping3 --flood, one trap", bare: outcome{answered: true}, want: missed, run: hping("-S", "-p", "5018", "-c", "2000", "-i", "u1"), only: &ipv4},
	{name: "syn scan, ascending", bare: naked, want: caught, run: ownScan(netlab.SYNScan)},
	{name: "connect scan, ascending", bare: naked, want: caught, run: ownScan(netlab.ConnectScan)},
}

func TestScanners(t *testing.T) {
	forEach(t, append([]variant{defenceless}, defences...), func(t *testing.T, w *world) {
		w.set(w.order())
		for _, s := range scans {
			if s.only == nil || s.only.name == w.family.name {
				w.run(t, s.name, s.test)
			}
		}
	})
}

func (s scan) test(w *world) {
	want := s.want
	if _, none := w.b.(noDefence); none {
		want = s.bare
	}
	s.judge(w, "Scanners", want)
}

// judge runs the scan and compares what it comes to.
func (s scan) judge(w *world, section string, want outcome) {
	from := w.source()
	w.check(s.run(w, from))
	got := w.outcome(from)
	if got != want {
		w.t.Errorf("%s, want %s", got, want)
	}
	w.record(section, s.name, got.String())
}

// outcome reads off the wire and out of the log what a source has come to.
func (w *world) outcome(from netip.Addr) outcome {
	answers := w.answers(from)
	first := map[uint16]netlab.Flags{} // by port: its first answer
	for _, p := range slices.Backward(answers) {
		if p.Proto == netlab.TCP {
			first[p.SrcPort] = p.Flags
		}
	}
	const trap = 5019 // probed by all
	hidden, answers1 := first[hiddenPort]
	other, answers2 := first[trap]
	return outcome{
		found:    answers1 != answers2 || hidden != other,
		ban:      w.banHit(from),
		answered: len(answers) > 0,
	}
}

// patience is how long a scanner may take.
const patience = time.Minute

func (w *world) scanOptions(from netip.Addr, ports []uint16) netlab.ScanOptions {
	return netlab.ScanOptions{Source: from, Target: w.server, Ports: ports}
}

func nmap(ports []uint16, args ...string) func(*world, netip.Addr) error {
	return func(w *world, from netip.Addr) error {
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		defer cancel()
		_, err := netlab.Nmap(ctx, w.Scanner, w.scanOptions(from, ports), args...)
		return err
	}
}

// nmapDecoy hides the scanner among others, all of whom seem to scan.
func nmapDecoy(w *world, from netip.Addr) error {
	decoys := w.source().String() + "," + w.source().String() + ",ME"
	return nmap(swept, "-sS", "-D", decoys)(w, from)
}

// masscan scans in an order that its seed decides, and that comes to the hidden
// port late.
func masscan(ports []uint16, args ...string) func(*world, netip.Addr) error {
	return func(w *world, from netip.Addr) error {
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		defer cancel()
		_, err := netlab.Masscan(ctx, w.Scanner, w.scanOptions(from, ports), append([]string{"--seed", "1"}, args...)...)
		return err
	}
}

func ownScan(scan func(context.Context, *netlab.Namespace, netlab.ScanOptions) (netlab.ScanResult, error)) func(*world, netip.Addr) error {
	return func(w *world, from netip.Addr) error {
		_, err := scan(w.soon(), w.Scanner, w.scanOptions(from, swept))
		return err
	}
}

// zmap scans for one port after the other: it knows only one.
func zmap(ports ...uint16) func(*world, netip.Addr) error {
	return func(w *world, from netip.Addr) error {
		router, err := w.Cloud.HardwareAddr(netlab.Outside)
		if err != nil {
			return err
		}
		for _, port := range ports {
			err := w.steady("zmap", "--interface", netlab.Eth0, "--gateway-mac", router.String(), "--source-ip", from.String(),
				"--target-port", strconv.Itoa(int(port)), "--blacklist-file", "/dev/null", "--cooldown-time", "1", "--verbosity", "0", w.server.String())
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// steady runs a program again if it has crashed, as zmap 2.1.1 does once in a
// hundred short scans. A port that is tried again is no further strike.
func (w *world) steady(name string, args ...string) (err error) {
	for range 3 {
		err = w.program(name, args...)
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			return err
		}
		w.t.Log(err)
	}
	return err
}

// hping runs hping3 in the scanner's name.
func hping(args ...string) func(*world, netip.Addr) error {
	return func(w *world, from netip.Addr) error {
		return w.program("hping3", append([]string{"--quiet", "--interface", netlab.Eth0, "--spoof", from.String(), w.server.String()}, args...)...)
	}
}

// program runs a scanner until it ends by itself. An exit code is no failure:
// those of hping3 tell whether anything answered.
func (w *world) program(name string, args ...string) error {
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Errorf("%s: %w", name, netlab.ErrNotInstalled)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	said, err := w.Scanner.Command(ctx, name, args...).CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.Exited() {
		w.t.Logf("%s: %v: %s", name, err, said)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return nil
}

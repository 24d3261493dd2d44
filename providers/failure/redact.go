package failure

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Port is what stands in the place of a port that was taken out.
const Port = "<port>"

// redact takes out of text every number that may be a port, save what is kept
// whole. Who knows a number to be harmless must say so; a number that nobody
// knows goes.
func redact(text string, harmless []string) string {
	var b strings.Builder
	rest := 0 // where what is yet to be written begins
	for _, span := range spans(text, harmless) {
		b.WriteString(redactNumbers(text, rest, span[0]))
		b.WriteString(text[span[0]:span[1]])
		rest = span[1]
	}
	b.WriteString(redactNumbers(text, rest, len(text)))
	return b.String()
}

// whole is what stays as it is, digits and all: ids, times, addresses, versions.
var whole = regexp.MustCompile(strings.Join([]string{
	`\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b`,                                               // a UUID
	`\b(?:(?:sgr?|eni|pl|vpc|i)-[0-9a-f]+|[a-z]{1,8}-(?:[0-9a-f]{17}|[0-9a-f]{8}))\b`,                        // an id of AWS
	`\b[a-z]{2}(?:-[a-z]+)+-\d{1,2}\b`,                                                                       // a region
	`\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))*)?`,                 // a time
	`\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d`,                                     // a time of HTTP
	`\b(?:HTTP|TLS|SSL)[/ ]\d(?:\.\d)?\b`,                                                                    // a version
	`\b(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?:/(?:3[0-2]|[12]?\d)\b|\b)`,        // IPv4
	`(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:/(?:12[0-8]|1[01]\d|\d?\d)\b|\b|$)?`,                       // IPv6, perhaps
	`\b[0-9A-Za-z]*(?:[0-9][A-Za-z]|[A-Za-z][0-9])[0-9A-Za-z]*(?:[0-9][A-Za-z]|[A-Za-z][0-9])[0-9A-Za-z]*\b`, // letters and digits mixed
}, "|"))

// spans returns where what is kept whole begins and ends, in the order of the
// text, none within another.
func spans(text string, harmless []string) [][]int {
	found := slices.DeleteFunc(whole.FindAllStringIndex(text, -1), func(span []int) bool {
		return !isWhole(text[span[0]:span[1]])
	})
	for _, word := range harmless {
		for from := 0; word != ""; {
			i := strings.Index(text[from:], word)
			if i < 0 {
				break
			}
			found = append(found, []int{from + i, from + i + len(word)})
			from += i + len(word)
		}
	}
	slices.SortFunc(found, func(a, b []int) int { return cmp.Or(a[0]-b[0], b[1]-a[1]) })
	end := 0
	return slices.DeleteFunc(found, func(span []int) bool {
		if span[0] < end {
			return true
		}
		end = span[1]
		return false
	})
}

// isWhole looks closer at what only may be something to be kept.
func isWhole(text string) bool {
	switch {
	case strings.Count(text, ":") >= 2 && !strings.ContainsAny(text, " T"):
		return isIPv6(text)
	case mixed.MatchString(text):
		return isID(text)
	}
	return true
}

var (
	mixed = regexp.MustCompile(`^[0-9A-Za-z]+$`)
	hex   = regexp.MustCompile(`^(?:[0-9a-f]{8,}|[0-9A-F]{8,})$`)
	turns = regexp.MustCompile(`[0-9][A-Za-z]|[A-Za-z][0-9]`)
)

// isID reports whether letters and digits are an id or a key, and not ports with
// words around them.
func isID(text string) bool {
	if hasPortWord(text) || strings.HasPrefix(strings.ToLower(text), "0x") {
		return false
	}
	return hex.MatchString(text) || len(text) >= 16 && len(turns.FindAllString(text, -1)) >= 4
}

// isIPv6 reports whether text is an address or a prefix that cannot be two ports
// with colons between them.
func isIPv6(text string) bool {
	_, errAddr := netip.ParseAddr(text)
	_, errPrefix := netip.ParsePrefix(text)
	if errAddr != nil && errPrefix != nil {
		return false
	}
	address, _, _ := strings.Cut(text, "/")
	return strings.Trim(address, ":0") == "" || address == "::1" || strings.ContainsAny(address, "abcdefABCDEF")
}

var number = regexp.MustCompile(`0[xX][0-9a-fA-F]+|[0-9]+`)

// redactNumbers does so between from and to; what is around is looked at.
func redactNumbers(text string, from, to int) string {
	var b strings.Builder
	rest := from
	for _, span := range number.FindAllStringIndex(text[from:to], -1) {
		begin, end := from+span[0], from+span[1]
		b.WriteString(text[rest:begin])
		if mayBePort(text[begin:end]) && !isGlued(text, begin, end) && !isKnown(text[:begin], text[begin:end], text[end:]) {
			b.WriteString(Port)
		} else {
			b.WriteString(text[begin:end])
		}
		rest = end
	}
	b.WriteString(text[rest:to])
	return b.String()
}

func mayBePort(digits string) bool {
	n, err := strconv.ParseUint(digits, 10, 64)
	if strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X") {
		n, err = strconv.ParseUint(digits[2:], 16, 64)
	}
	return err == nil && n >= 1 && n <= 65535
}

// isGlued reports whether a number is part of a word that is no port, such as
// IPv4, x509, EC2 or nyc3: one of up to three digits, after letters that are not
// about ports.
func isGlued(text string, begin, end int) bool {
	before := letters(text[:begin], true)
	after := letters(text[end:], false)
	return end-begin <= 3 && (before != "" && !hasPortWord(before) || before == "" && after != "" && !hasPortWord(after) && after != "t" && after != "u")
}

// letters returns those that text ends or begins with.
func letters(text string, atEnd bool) string {
	isLetter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	if atEnd {
		return text[len(strings.TrimRightFunc(text, isLetter)):]
	}
	return text[:len(text)-len(strings.TrimLeftFunc(text, isLetter))]
}

var portWord = regexp.MustCompile(`(?i)ports?|tcp|udp|range|from|trap|^p$|^to$`)

func hasPortWord(text string) bool { return portWord.MatchString(text) }

// What stands before or behind a number that is known to be a limit, a count, a
// code or an id.
var (
	idBefore     = regexp.MustCompile(`(?i)\b(?:\w+_)?id(?: is)?["']?\s*[:=]?\s*["']?$`)
	codeBefore   = regexp.MustCompile(`(?i)\bcode["']?\s*[:=]?\s*["']?$`)
	statusBefore = regexp.MustCompile(`(?i)\b(?:status|http|status ?code)["']?\s*[:=]?\s*["']?$`)
	statusBehind = regexp.MustCompile(`^(?:[^0-9A-Za-z]|$)`)
	limitBefore  = regexp.MustCompile(`(?i)\b(?:(?:limit|quota|maximum)(?: allowed)?(?: of| is| was)|(?:limit|quota):?|at most|exceeds|exceeded) $`)
	countBehind  = regexp.MustCompile(`(?i)^ (?:(?:more|inbound|outbound|ingress|egress|firewall|security group|of \d+|out of \d+) )*(?:rules|entries|sources|addresses|prefixes|requests|calls|seconds|secs|minutes|hours|days|droplets|instances|servers|characters|bytes|times|attempts|retries|items|groups|tags)\b`)
	unitBehind   = regexp.MustCompile(`^(?:ms|s|m|h)\b`)
	aboutPorts   = regexp.MustCompile(`(?i)(?:ports?|tcp|udp|range)\b[^.;()]{0,12}$`)
	joined       = regexp.MustCompile(`^\s?(?:-|:|\.\.|~|–|—|to\b)\s?\d`) // a range goes on
)

// isKnown reports whether digits are a limit, a count, a code or an id by what is
// around them.
func isKnown(before, digits, behind string) bool {
	switch {
	case joined.MatchString(behind):
		return false
	case idBefore.MatchString(before), codeBefore.MatchString(before):
		return true
	case statusBefore.MatchString(before) && len(digits) == 3 && digits < "600" && statusBehind.MatchString(behind):
		return true
	case aboutPorts.MatchString(before), strings.HasSuffix(before, "-"):
		return false
	}
	return countBehind.MatchString(behind) || unitBehind.MatchString(behind) || limitBefore.MatchString(before)
}

// harmless returns the addresses in err that this machine knows of itself, such
// as that of the API that it could not reach.
func harmless(err error) []string {
	var words []string
	if op, ok := errors.AsType[*net.OpError](err); ok {
		for _, address := range []net.Addr{op.Addr, op.Source} {
			if address != nil {
				words = append(words, address.String())
			}
		}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		words = append(words, dns.Server, dns.Name)
	}
	if sent, ok := errors.AsType[*url.Error](err); ok {
		if u, err := url.Parse(sent.URL); err == nil {
			words = append(words, u.Host)
		}
	}
	return words
}

package portsnare

// Subjects of the link, one for each host and kind of message. An agent may
// hear its own push and resync subjects and speak on its own report, hits and bans
// subjects.
const (
	subjectOrder  = "portsnare.order."
	subjectPush   = "portsnare.push."
	subjectReport = "portsnare.report."
	subjectHits   = "portsnare.hits."
	subjectBans   = "portsnare.bans."
	subjectResync = "portsnare.resync."
	subjectJoin   = "portsnare.join."
	subjectInbox  = "_INBOX."

	// SubjectControl is where the command line asks the controller things; the
	// verb follows, such as "status".
	SubjectControl = "portsnare.control."

	// OrderStream is the JetStream stream that keeps the latest order of each
	// host and republishes it on the host's push subject.
	OrderStream = "PORTSNARE_ORDERS"
)

// OrderSubject is where the controller stores a host's order.
func OrderSubject(host string) string { return subjectOrder + host }

// OrderRequest is where an agent asks for its stored order; the message that
// answers has the order as its body, or no body where there is none (direct get,
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md,
// checked 2026-11-21).
func OrderRequest(host string) string {
	return "$JS.API.DIRECT.GET." + OrderStream + "." + OrderSubject(host)
}

// InboxPrefix is what the reply subjects of a host begin with; a dot follows.
func InboxPrefix(host string) string { return subjectInbox + host }

// PushSubject is where a stored order is republished to its host.
func PushSubject(host string) string { return subjectPush + host }

// ReportSubject is where an agent publishes its [Report].
func ReportSubject(host string) string { return subjectReport + host }

// HitsSubject is where an agent publishes each [HitBatch].
func HitsSubject(host string) string { return subjectHits + host }

// BansSubject is where an agent publishes each [BanUpdate].
func BansSubject(host string) string { return subjectBans + host }

// ResyncSubject is where the controller asks an agent for all of its bans. The
// message has no body.
func ResyncSubject(host string) string { return subjectResync + host }

// JoinRequest is where a host that has a one-time token asks for its key to be
// taken: the body is a [JoinKey], the answer a [JoinAnswer].
func JoinRequest(host string) string { return subjectJoin + host }

// JoinKey is the key that a host made for itself.
type JoinKey struct {
	Key string `json:"key"` // public nkey of a user
}

// JoinAnswer says whether the key was taken. Kind is empty where it was.
type JoinAnswer struct {
	Kind Kind   `json:"kind,omitempty"`
	Text string `json:"text,omitempty"`
	Hint string `json:"hint,omitempty"`
}

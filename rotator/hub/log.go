package hub

// Messages and keys of the log.
const (
	msgServer  = "message server"
	msgIgnored = "message ignored"

	keyText    = "text"
	keySubject = "subject"
	keyError   = "error"
)

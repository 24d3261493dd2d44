package hub

// Messages and keys of the log.
const (
	msgServer     = "message server"
	msgIgnored    = "message ignored"
	msgConnection = "the controller's own connection"

	keyText    = "text"
	keySubject = "subject"
	keyError   = "error"
)

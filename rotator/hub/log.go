package hub

// Messages and keys of the log.
const (
	msgIgnored       = "message ignored"
	msgConnection    = "the controller's own connection"
	msgRestored      = "damaged or lost values were restored from their copy"
	msgCopyBad       = "the copy of stored values is damaged, it was rebuilt from the store"
	msgCopyFailed    = "cannot write the copy of stored values"
	msgOrderLost     = "a stored order is damaged, it was dropped and comes back with the next one"
	msgStreamDamaged = "a part of what hosts reported is lost"
	msgNotStored     = "what a host reported is not stored"
	msgOldHosts      = "these hosts joined with a token of the first version, and are let in without a certificate"
	msgJoined        = "host joined"

	keySubject = "subject"
	keyError   = "error"
	keyHost    = "host"
	keyHosts   = "hosts"
	keyHint    = "hint"
	keyFile    = "file"
	keyValues  = "values"
)

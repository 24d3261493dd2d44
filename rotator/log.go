package rotator

// Messages and keys of what the rotator logs. Ports of traps are never among
// them.
const (
	msgStep       = "step"
	msgRotated    = "rotated"
	msgFailed     = "rotation failed, the group keeps its generation"
	msgProceeding = "going on without a host"
	msgHeld       = "an old opening stays: nothing else admits a protected port in it"
	msgTaken      = "some traps can no longer be traps, drawing anew"
	msgDrift      = "the firewall was changed by others, repaired"

	keyGroup      = "group"
	keyGeneration = "generation"
	keyStep       = "step"
	keyIndex      = "index"
	keyTook       = "took"
	keyError      = "error"
	keyHint       = "hint"
	keyAgainIn    = "again_in"
	keyRule       = "rule"
	keyPorts      = "ports"
)

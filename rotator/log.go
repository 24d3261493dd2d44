package rotator

// Messages and keys of what the rotator logs. Ports of traps are never among
// them.
const (
	msgStep        = "step"
	msgRotated     = "rotated"
	msgFailed      = "rotation failed, the group keeps its generation"
	msgProceeding  = "going on without a host"
	msgHeld        = "an old opening stays: nothing else admits a protected port in it"
	msgGivenUp     = "the pending rotation can no longer be carried out, drawing anew"
	msgRenew       = "the trap set has to be replaced, drawing anew"
	msgUnsettled   = "the firewall changed behind the grace time, beginning again"
	msgRebuilt     = "the stored state of the group is damaged; it is rebuilt from the firewall and the reports of the hosts"
	msgListRebuilt = "the stored list of firewalls is damaged; it is rebuilt from the configuration"
	msgUnsaved     = "cannot save why an attempt failed"
	msgReleased    = "hosts that have left the group are released"
	msgDrift       = "the firewall was changed by others, repaired"

	keyGroup      = "group"
	keyGeneration = "generation"
	keyStep       = "step"
	keyIndex      = "index"
	keyTook       = "took"
	keyError      = "error"
	keyHint       = "hint"
	keyAgainIn    = "again_in"
	keyRule       = "rule"
	keyReason     = "reason"
	keyHosts      = "hosts"
)

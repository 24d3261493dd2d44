package hostagent

// Messages and keys of the log. A failure that lasts is part of the report
// too, under its message.
const (
	msgArmed          = "order armed"
	msgNotArmed       = "order not armed"
	msgRepaired       = "the kernel did not hold the order any more, it was armed again"
	msgRefused        = "order refused"
	msgBanned         = "source banned"
	msgNotProlonged   = "ban not prolonged"
	msgAdopted        = "ban found in the kernel"
	msgOrderUnread    = "saved order is not usable, waiting for the controller"
	msgBansUnread     = "saved bans are not usable, going on without them"
	msgFriendsUnread  = "saved friends are not usable, going on without them"
	msgFriendsUnsaved = "friends not saved"
	msgNoFriends      = "cannot read the friends in the kernel"
	msgNotMeasured    = "cannot read how full the kernel's memories are"
	msgFull           = "a memory of the kernel is full, whoever finds no room in it is not counted"
	msgOrderUnsaved   = "order not saved"
	msgBansUnsaved    = "bans not saved"
	msgNoListening    = "cannot read which ports are in use"
	msgNoGateways     = "cannot read the gateways"
	msgNoBans         = "cannot read the bans in the kernel"

	keyMemory     = "memory"
	keyGeneration = "generation"
	keyError      = "error"
	keyHint       = "hint"
	keySource     = "source"
	keyUntil      = "until"
	keyCount      = "count"
)

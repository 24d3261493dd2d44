package hostagent

// Messages and keys of the log. A failure that lasts is part of the report
// too, under its message.
const (
	msgArmed          = "order armed"
	msgNotArmed       = "order not armed"
	msgRepaired       = "the kernel did not hold the order any more, it was armed again"
	msgRefused        = "order refused"
	msgBanned         = "source banned"
	msgBannedMore     = "more sources banned"
	msgNotProlonged   = "bans not prolonged"
	msgAdopted        = "bans found in the kernel"
	msgOrderUnread    = "the saved order is not usable, nothing is armed until the controller sends one"
	msgOrderOlder     = "the saved order is older than what is armed"
	msgIncomplete     = "order armed, but not all of it"
	msgOrderHalf      = "one of the two files of the saved order is not usable, the other one is used"
	msgBansUnread     = "the saved bans are not usable, those in the kernel are used and counted as first bans"
	msgFriendsUnread  = "the saved friends are not usable, those in the kernel are used"
	msgMomentUnread   = "the saved time is not usable, bans may last longer by the time since they were saved"
	msgMomentUnsaved  = "time not saved"
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
	keyCount      = "count" // of a ban: it is the source's n-th
	keyBans       = "bans"
)

package ipset

import (
	"fmt"
	"time"

	"github.com/portsnare/portsnare/hostagent/kernel"
)

// How delay is told to iptables; see [kernel.HastyTime].
const (
	offerSACK = "-p tcp -m tcp --tcp-option 4" // RFC 2018
	greyRate  = "1/day"                        // once, for all that it is remembered

	// delayRate bounds how many SYNs are looked at, the others pass: a
	// hashlimit that is full drops whatever it has no room for, so it must never
	// be. In greyTime not half of greyMost can come together. It forgets by a
	// timer that waits until a processor is busy anyway, so that nothing may
	// depend on its forgetting in time (INIT_DEFERRABLE_WORK in
	// net/netfilter/xt_hashlimit.c of Linux 6.18).
	delayRate = "-m limit --limit 1000/sec --limit-burst 1000"
	hastyMost = 16384
	hastyKept = 2 * time.Second
	greyMost  = kernel.MaxDelayed
)

// hastyRate is one SYN in each hasty time.
var hastyRate = fmt.Sprintf("%.0f/min", float64(time.Minute)/float64(kernel.HastyTime))

// hidden keeps strangers off the hidden ports: all of them under an alarm, those
// who cannot wait under delay.
func (r rules) hidden() []chain {
	if !r.alarm && !r.policy.Delay {
		return nil
	}
	known := append(r.allowed(), r.friend("RETURN"))
	if r.alarm {
		return []chain{{chainHidden, append(known, "-j DROP")}}
	}
	grey := []string{within("grey", greyRate, greyMost, kernel.GreyTime) + " -j DROP"}
	for i := 1; i <= kernel.Slots(r.policy); i++ {
		grey = append(grey, in(r.slot(i), "src")+" -j DROP")
	}
	return []chain{
		{chainHidden, append(known, delayRate+" -g "+chainDelay)},
		{chainDelay, []string{
			offerSACK + " -g " + chainKnock,
			notIn(r.set(plain), "src,src") + " -g " + chainPlain,
			keep(r.set(plain), "src,src", kernel.PlainTime),
			"-j DROP",
		}},
		{chainPlain, []string{keep(r.set(plain), "src,src", kernel.PlainTime), "-g " + chainGrey}},
		{chainKnock, []string{within("hasty", hastyRate, hastyMost, hastyKept) + " -g " + chainGrey, "-j DROP"}},
		{chainGrey, grey},
	}
}

// within matches a SYN that comes no sooner after its like, from the same address
// and port to the same port, than a rate allows. What has been left alone for a
// time may be forgotten.
func within(name, rate string, most int, forget time.Duration) string {
	const tick = 2000 // ms; 1,000 is the default and not printed
	return fmt.Sprintf("-m hashlimit --hashlimit-upto %s --hashlimit-burst 1 --hashlimit-mode srcip,srcport,dstport"+
		" --hashlimit-name %s --hashlimit-htable-size %d --hashlimit-htable-max %d --hashlimit-htable-gcinterval %d --hashlimit-htable-expire %d",
		rate, prefix+name, most/4, most, tick, forget.Milliseconds())
}

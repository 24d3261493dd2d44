package ipset

import (
	"fmt"
	"time"
)

// What delay goes by. A client's kernel repeats a SYN after a second and from
// the same port (RFC 6298, 2.1), and later at growing distances. What repeats it
// within the hasty time is a scanner's duplicate. A kernel also offers selective
// acknowledgement (RFC 2018, option 4) in its SYN, which raw scanners do not; who
// does not has to wait for longer than scanners do.
const (
	hastyTime = 700 * time.Millisecond  // and up to hastyTick more
	plainTime = 2500 * time.Millisecond // likewise
	hastyTick = 100 * time.Millisecond
	greyTime  = 30 * time.Second
	greyTick  = time.Second
	offerSACK = "-p tcp -m tcp --tcp-option 4"

	// delayRate bounds how many SYNs are looked at, the others pass: a
	// hashlimit that is full drops whatever it has no room for, so it must never
	// be. In greyTime not half of greyMost can come together.
	delayRate = "-m limit --limit 1000/sec --limit-burst 1000"
	hastyMost = 8192
	greyMost  = 65536
)

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
	grey := []string{unmet("grey", greyMost, greyTick, greyTime) + " -j DROP"}
	for i := 1; i <= slots(r.policy.Strikes); i++ {
		grey = append(grey, in(r.slot(i), "src")+" -j DROP")
	}
	return []chain{
		{chainHidden, append(known, delayRate+" -g "+chainDelay)},
		{chainDelay, []string{
			offerSACK + " -g " + chainKnock,
			unmet("plain", hastyMost, hastyTick, plainTime) + " -g " + chainGrey,
			"-j DROP",
		}},
		{chainKnock, []string{unmet("hasty", hastyMost, hastyTick, hastyTime) + " -g " + chainGrey, "-j DROP"}},
		{chainGrey, grey},
	}
}

// unmet matches a SYN whose like, from the same address and port to the same
// port, was not met for a time, up to a tick longer. It is a bucket that nothing
// ever fills again, forgotten when it was left alone for that time.
func unmet(name string, most int, tick, forget time.Duration) string {
	return fmt.Sprintf("-m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1 --hashlimit-mode srcip,srcport,dstport"+
		" --hashlimit-name %s --hashlimit-htable-size %d --hashlimit-htable-max %d --hashlimit-htable-gcinterval %d --hashlimit-htable-expire %d",
		prefix+name, most/4, most, tick.Milliseconds(), forget.Milliseconds())
}

package ipset

import (
	"fmt"
	"time"
)

// What delay goes by. A client's kernel repeats a SYN after a second and from
// the same port (RFC 6298, 2.1). What repeats it sooner is a scanner's duplicate.
const (
	hastyTime = 700 * time.Millisecond // and up to hastyTick more
	hastyTick = 100 * time.Millisecond
	greyTime  = 30 * time.Second
	greyTick  = time.Second

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
		{chainDelay, []string{unmet("hasty", hastyMost, hastyTick, hastyTime) + " -g " + chainGrey, "-j DROP"}},
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

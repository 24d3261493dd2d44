package placement

import "math"

// Random returns the probability that a source which probes every port once, in
// random order, reaches a given hidden port before its ban, given the traps
// that can fire and the bait: every order of traps and port is as likely, so
// only their numbers matter. With no bait it is K/(T+1).
func Random(firing, bait, strikes int) float64 {
	if firing == 0 {
		return 1
	}
	// The ban comes with the first firing trap behind K-1 traps of any kind, f
	// of which are hypergeometric; that is E[J] traps met.
	all, before := firing+bait, strikes-1
	met := float64(before)
	for f := 0; f <= min(before, firing); f++ {
		p := math.Exp(logChoose(firing, f) + logChoose(bait, before-f) - logChoose(all, before))
		if p > 0 && f < firing {
			met += p * float64(all-before+1) / float64(firing-f+1)
		} else if p > 0 {
			met += p * float64(all-before+1) // no ban: the port is reached for certain
		}
	}
	return min(1, met/float64(all+1))
}

// Armed returns the same for a source that begins with the ports that scanners
// try first, as nmap does, and only then goes on in random order.
func Armed(firing, bait, strikes int) float64 {
	return Random(firing, 0, max(1, strikes-bait))
}

// Slices returns the probability that one of so many sources reaches a given
// hidden port, each of them probing, in random order and at the same pace, a
// random share of the ports. Nothing joins what they did.
func Slices(firing, strikes, sources int) float64 {
	// How many traps fall to the source that has the port is binomial.
	p, found := 1/float64(sources), 0.0
	for t := 0; t <= firing; t++ {
		weight := math.Exp(logChoose(firing, t) + float64(t)*math.Log(p) + float64(firing-t)*math.Log1p(-p))
		if sources == 1 {
			weight = 0
			if t == firing {
				weight = 1
			}
		}
		found += weight * min(1, float64(strikes)/float64(t+1))
	}
	return found
}

// Alarmed returns the same where an alarm is raised as soon as so many of the
// sources have hit a trap that can fire. Bans of single sources are left out,
// so that it is a little more than the truth.
func Alarmed(firing, sources, alarm int) float64 {
	if alarm > sources {
		return 1
	}
	hits := 0.0 // until so many sources are among them: the coupon collector
	for i := range alarm {
		hits += float64(sources) / float64(sources-i)
	}
	return min(1, hits/float64(firing+1))
}

// Sweep returns the probability that a linear sweep over so many ports, a given
// hidden port among them and every start as likely, reaches it: that it begins
// behind the K-th neighbour. Secret traps are left out. From farther away than
// the radius it is 0, or 1 where a side has fewer than K neighbours.
func (s Spec) Sweep(length, strikes int) float64 {
	n, runs := s.Neighbours/2, 0
	if _, runs = s.side(); n < strikes || s.Radius <= n {
		return 1
	}
	return min(1, nearest(s.Radius, n, runs, strikes)/float64(length))
}

// nearest returns the mean distance of the k-th of n neighbours.
func nearest(size, n, runs, k int) float64 {
	mean := float64(k)
	for i, p := range runWeights(size, n, runs) {
		j := i + 1
		for run := 1; run <= j; run++ { // the one that holds the k-th
			in := math.Exp(logChoose(k-1, run-1) + logChoose(n-k, j-run) - logChoose(n-1, j-1))
			mean += p * in * (float64(run*(size-n+2))/float64(j+1) - 1)
		}
	}
	return mean
}

// Forged returns how many packets somebody who knows our code and not the set
// must forge, on average, to have a victim banned. No order of ports does
// better: every packet meets a trap with the same probability. near is the same
// for one who knows a hidden port, and so where its neighbours are. 65,536, one
// more than there are ports, says that it cannot be done.
func (s Spec) Forged(hidden, strikes int) (far, near float64) {
	left := strikes
	armed := 0.0
	if s.Bait > 0 {
		byBait := min(s.Bait, strikes-1, first)
		left, armed = strikes-byBait, float64(byBait*(first+1))/float64(min(s.Bait, first)+1)
	}
	cost := func(strikes, space, traps int) float64 {
		if traps < strikes {
			return maxPort + 1
		}
		return float64(strikes*(space+1)) / float64(traps+1)
	}
	either := func(space, traps int) float64 {
		return min(cost(strikes, space, traps), armed+cost(left, space, traps))
	}
	far = either(maxPort, s.Firing(hidden))
	return far, min(far, either(2*s.Radius, s.Neighbours))
}

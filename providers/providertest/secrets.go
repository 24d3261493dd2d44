package providertest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
)

// refusals of a cloud that tell ports, and what else is in them that a person needs.
// {from} and {to} are ports of the plan.
var tellingWords = []string{
	`the specified rule "peer: 0.0.0.0/0, TCP, from port: {from}, to port: {to}, ALLOW" already exists`,
	"rule already exists: ports {from}-{to}/tcp", "rule {from}:{to} is defined already", "tcp {from}..{to} is taken",
	`{"protocol":"tcp","ports":"{from}-{to}","sources":{"addresses":["0.0.0.0/0"]}} not found`,
	`{"port_range_min": {from}, "port_range_max": {to}} is a duplicate`, `[{"FromPort":{from},"ToPort":{to}}]`,
	"0.0.0.0/0:{from}, ::/0:{to}", "between {from} and {to}", "{from},{to}", "tcp{from} udp{to}", "port={from}&port={to}",
	"0{from} and 00{to}", "tcp/{from} -> tcp/{to}", "Ports <from>{from}</from><to>{to}</to>", "maximum: {to}, minimum: {from}",
}

// needed is beside those words, and stays.
const needed = "request 7f1b4c2d-9a3e-4d5f-8b6a-0c1d2e3f4a5b, sgr-0f3a9c1d2e4b5a687, quota 60, 59 of 60 rules"

// secrets: no port that was drawn is in an error, however a cloud spells it, nor
// in any error that it unwraps to and that could be printed by mistake.
func secrets(t *testing.T, p Provider) {
	if !p.throws(Refusal) {
		t.Skip("nobody can refuse here")
	}
	w := p.start(t, 0)
	w.reach(w.dual("40961-40977/tcp"))
	want := w.dual("38912/tcp", "47001-47017/udp", "8191/tcp")
	for _, form := range tellingWords {
		sub(w, form, func(w *walk) {
			for _, call := range []Call{Read, Write} {
				for _, ports := range [][2]string{{"47001", "47017"}, {"38912", "38912"}, {"8191", "40977"}} {
					words := strings.NewReplacer("{from}", ports[0], "{to}", ports[1]).Replace(form)
					w.Faults.Inject(Trouble{Fault: Refusal, Call: call, Times: 1, Words: words + "; " + needed})
					a := w.step(w.Context(), want)
					w.checkSecrets(a.err, want)
					w.Faults.Clear()
				}
			}
		})
	}
	sub(w, "of our own making", func(w *walk) {
		stranger := portsnare.Rule{ID: "1", Opening: want[0], Mark: "somebody/else"}
		for _, plan := range []portsnare.Plan{
			{Close: []portsnare.Rule{stranger}},
			{Open: []portsnare.Opening{{Range: want[0].Range}}},
		} {
			_, err := w.Firewall.Apply(w.Context(), plan)
			w.checkNoPort(err, want)
		}
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		_, err := w.Firewall.Apply(ctx, portsnare.Plan{Open: want})
		w.checkNoPort(err, want)
	})
}

func (w *walk) checkSecrets(err error, openings []portsnare.Opening) {
	w.Helper()
	w.checkNoPort(err, openings)
	if err != nil && !strings.Contains(err.Error(), needed) {
		w.Errorf("error %q, want %q in it", err, needed)
	}
}

func (w *walk) checkNoPort(err error, openings []portsnare.Opening) {
	w.Helper()
	if err == nil {
		w.Fatal("no error")
	}
	for _, text := range []string{err.Error(), portsnare.HintOf(err), fmt.Sprint(errors.Join(err, err))} {
		for _, r := range append(openings, w.dual("40961-40977/tcp")...) {
			for _, port := range []uint16{r.Range.From, r.Range.To} {
				if regexp.MustCompile(fmt.Sprintf(`(^|[^0-9])0*%d([^0-9]|$)`, port)).MatchString(text) {
					w.Errorf("%q tells the port %d", text, port)
				}
			}
		}
	}
}

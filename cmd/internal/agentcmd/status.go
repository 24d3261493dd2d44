package agentcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/hostagent"
)

func newStatus(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what this host has armed and which sources it bans",
		Long: `Status shows whether an agent is running, and what the kernel holds at this
moment: traps, protected TCP ports and bans. Only the generation comes from the
state directory; the age of that is shown. Traps are counted and not named: where
they are is a secret.`,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		answer, err := a.status(c.Context())
		if err != nil {
			return err
		}
		return cli.Print(c, *asJSON, answer)
	}
	return c
}

// statusAnswer is what the kernel holds, but for Saved.
type statusAnswer struct {
	Host      string            `json:"host"`
	At        time.Time         `json:"at"`      // when the kernel was read
	Running   bool              `json:"running"` // an agent is
	Armed     bool              `json:"armed"`   // the kernel program stands
	Backends  []string          `json:"backends"`
	Traps     int               `json:"traps"`
	Protected portsnare.PortSet `json:"protected"` // of TCP; the kernel does not know others
	// Unreserved counts the traps that the kernel may choose for connections of
	// this host.
	Unreserved int         `json:"unreserved"`
	Saved      *savedOrder `json:"saved,omitempty"` // none: no order has come yet
	Bans       []banLine   `json:"bans"`
}

// savedOrder is the order in the state directory.
type savedOrder struct {
	Generation portsnare.Generation `json:"generation"`
	At         time.Time            `json:"at"`    // when it was saved
	Armed      bool                 `json:"armed"` // it is what the kernel holds
	Problem    string               `json:"problem,omitempty"`
}

type banLine struct {
	Source  string    `json:"source"`
	Until   time.Time `json:"until"`
	Dropped uint64    `json:"dropped"` // connection attempts since
}

func (a *app) status(ctx context.Context) (answer statusAnswer, err error) {
	token, err := hostagent.LoadToken(a.state)
	if err != nil {
		return answer, err
	}
	answer = statusAnswer{Host: token.Host, Backends: []string{}, Bans: []banLine{}}
	if answer.Running, err = a.running(); err != nil {
		return answer, err
	}
	saved, savedErr := hostagent.LoadSavedOrder(a.state)
	if answer.Saved = describeSaved(saved, savedErr); savedErr != nil {
		saved = hostagent.SavedOrder{}
	}
	kernels, err := usable(ctx)
	if err != nil {
		return answer, err
	}
	for _, k := range kernels {
		if err := answer.add(ctx, k, saved.Order); err != nil {
			return answer, err
		}
	}
	answer.At = time.Now().UTC()
	return answer, nil
}

func describeSaved(saved hostagent.SavedOrder, err error) *savedOrder {
	switch {
	case errors.Is(err, portsnare.NotFound):
		return nil
	case err != nil:
		return &savedOrder{Problem: portsnare.Plain(err.Error())}
	}
	return &savedOrder{Generation: saved.Order.Generation, At: saved.At}
}

// add adds what one backend holds.
func (s *statusAnswer) add(ctx context.Context, k backend, saved portsnare.Order) error {
	standing, err := k.Armed(ctx)
	if err != nil {
		return err
	}
	if standing.Armed {
		s.Armed, s.Backends = true, append(s.Backends, k.name)
		s.Traps += standing.Traps.Len()
		s.Protected = s.Protected.Union(standing.Protected())
		s.Unreserved += standing.Unreserved.Len()
		if s.Saved != nil && s.Saved.Problem == "" {
			s.Saved.Armed = standing.Carries(saved)
		}
	}
	bans, err := k.Bans(ctx)
	if err != nil {
		return err
	}
	dropped, err := k.Dropped(ctx)
	if err != nil {
		return err
	}
	for _, b := range bans {
		s.Bans = append(s.Bans, banLine{Source: b.Source.String(), Until: b.Until, Dropped: dropped[b.Source]})
	}
	return nil
}

// WriteText implements cli.Answer.
func (s statusAnswer) WriteText(w io.Writer) error {
	text := cli.NewText(w)
	text.Line("host        %s", s.Host)
	text.Line("agent       %s", s.agent())
	text.Line("armed       %s", s.armed())
	text.Line("order       %s", s.order())
	text.Line("traps       %d%s", s.Traps, s.unreserved())
	text.Line("protected   %s", s.Protected)
	text.Line("bans        %d", len(s.Bans))
	if len(s.Bans) == 0 {
		return text.Err()
	}
	text.Line("")
	table := cli.NewTable(text, "SOURCE", "UNTIL", "DROPPED")
	for _, b := range s.Bans {
		table.Row(b.Source, b.Until.Local().Format(time.DateTime), fmt.Sprint(b.Dropped))
	}
	table.Flush() //nolint:errcheck // text keeps it
	return text.Err()
}

func (s statusAnswer) agent() string {
	if s.Running {
		return "running"
	}
	return "not running"
}

func (s statusAnswer) armed() string {
	if !s.Armed {
		return "no"
	}
	return "yes, by " + strings.Join(s.Backends, " and ")
}

func (s statusAnswer) unreserved() string {
	if s.Unreserved == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d not reserved: connections of this host may use them)", s.Unreserved)
}

// order says what the state directory knows, and how old that is.
func (s statusAnswer) order() string {
	switch {
	case s.Saved == nil:
		return "none has come yet"
	case s.Saved.Problem != "":
		return "not readable: " + s.Saved.Problem
	}
	text := fmt.Sprintf("generation %s, saved %s", s.Saved.Generation, s.age())
	if !s.Saved.Armed {
		text += "; the kernel does not hold it"
	}
	return text
}

func (s statusAnswer) age() string {
	if s.Saved.At.IsZero() {
		return "by an older version"
	}
	if age := s.At.Sub(s.Saved.At).Truncate(time.Second); age >= 0 {
		return age.String() + " ago"
	}
	return "at " + s.Saved.At.Local().Format(time.DateTime) + ", which is later than now"
}

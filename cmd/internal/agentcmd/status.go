package agentcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		Long: `Status reads the agent's state directory and the kernel. It counts the traps and
does not name them: where they are is a secret.`,
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

type statusAnswer struct {
	Host       string               `json:"host"`
	Generation portsnare.Generation `json:"generation"` // 0: no order has come yet
	Traps      int                  `json:"traps"`
	Protected  portsnare.PortSet    `json:"protected"`
	Bans       []banLine            `json:"bans"`
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
	order, err := hostagent.LoadOrder(a.state)
	if err != nil && !errors.Is(err, portsnare.NotFound) {
		return answer, err
	}
	answer = statusAnswer{
		Host: token.Host, Generation: order.Generation,
		Traps: order.Traps.Ports().Len(), Protected: order.Protected, Bans: []banLine{},
	}
	kernels, err := usable(ctx)
	if err != nil {
		return answer, err
	}
	for _, k := range kernels {
		if err := answer.addBans(ctx, k); err != nil {
			return answer, err
		}
	}
	return answer, nil
}

// addBans adds whom one backend shuts out.
func (s *statusAnswer) addBans(ctx context.Context, k program) error {
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
	text.Line("generation  %s", s.Generation)
	text.Line("traps       %d", s.Traps)
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

package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portsnare/portsnare"
)

// prepare gives a command tree the manners of this package.
func prepare(root *cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(misused)
	root.SetHelpCommand(newHelp())
	var each func(*cobra.Command)
	each = func(c *cobra.Command) {
		if !c.Runnable() {
			c.RunE = wantCommand
		}
		if c.Args == nil && c != root {
			c.Args = argsByUse
		}
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each(root)
}

// misused is an error in how a command was typed.
func misused(c *cobra.Command, err error) error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Err: err,
		Hint: fmt.Sprintf("usage: %s; see %s --help", c.UseLine(), c.CommandPath()),
	}
}

// wantCommand is what a command with others below it does alone: nothing but
// show what there is.
func wantCommand(c *cobra.Command, _ []string) error {
	c.SetOut(c.ErrOrStderr()) // nobody asked
	if err := c.Help(); err != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr())
	return &portsnare.Error{Kind: portsnare.Invalid, Err: errors.New("no command given")}
}

// argsByUse checks arguments against the words of the Use line behind the
// command's name: WORD must be there, [WORD] may.
func argsByUse(c *cobra.Command, args []string) error {
	words := strings.Fields(c.Use)[1:]
	for i, word := range words {
		if i >= len(args) && !strings.HasPrefix(word, "[") {
			return misused(c, errors.New("missing argument "+strings.Join(words[i:], " ")))
		}
	}
	if len(args) > len(words) {
		return misused(c, fmt.Errorf("unexpected argument %q", args[len(words)]))
	}
	return nil
}

// unknownCommand returns an error where args name a command that root lacks.
// Cobra's own error is text only, for people who type no flags.
func unknownCommand(root *cobra.Command, args []string) error {
	if _, _, err := root.Find(args); err == nil {
		return nil
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.AddFlagSet(root.PersistentFlags())
	flags.BoolP("help", "h", false, "")
	if err := flags.Parse(args); err != nil {
		return misused(root, err)
	}
	name := flags.Arg(0)
	hint := root.Name() + " --help lists the commands"
	if similar := root.SuggestionsFor(name); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "? " + hint
	}
	return &portsnare.Error{Kind: portsnare.Invalid, Err: fmt.Errorf("unknown command %q", name), Hint: hint}
}

// newHelp is cobra's help command, save that an unknown topic is an error.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show help for a command",
		Args:  argsByUse,
		RunE: func(c *cobra.Command, args []string) error {
			if err := unknownCommand(c.Root(), args); err != nil {
				return err
			}
			topic, _, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}

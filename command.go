package klink

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/klinkgate/caddy-klink/verifier"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "klink",
		Usage: "<command>",
		Short: "Signs, sends, diagnoses and watches K-LINK webhook deliveries",
		Long: `Tools for an endpoint that receives webhooks of the K-LINK Customer Support
Platform. Start with 'caddy klink demo'.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Args = cobra.NoArgs // so that an unknown command is an error
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.AddCommand(signCommand(), sendCommand(), demoCommand(),
				diagnoseCommand(), statusCommand(), checkCommand(), inboxCommand())
		},
	})
}

// credentialSource is where a secret comes from: never from a flag's value,
// which everyone on the machine can read in the list of processes.
type credentialSource struct {
	what     string // "secret"
	fileFlag string // "secret-file"
	envFlag  string // "secret-env"
	file     string
	env      string
}

// bind adds the two flags. env is the variable that is read without them.
func (s *credentialSource) bind(cmd *cobra.Command, env string) {
	s.fileFlag, s.envFlag = s.what+"-file", s.what+"-env"
	cmd.Flags().StringVar(&s.file, s.fileFlag, "", "`file` with the "+s.what+"; a newline at its end does not count")
	cmd.Flags().StringVar(&s.env, s.envFlag, env, "`name` of the environment variable with the "+s.what)
	cmd.MarkFlagsMutuallyExclusive(s.fileFlag, s.envFlag)
}

func (s *credentialSource) read() (string, error) {
	if s.file == "" {
		value := os.Getenv(s.env)
		if value == "" {
			return "", fmt.Errorf("no %s: set the environment variable %s, or name a file with --%s", s.what, s.env, s.fileFlag)
		}
		return value, nil
	}
	content, err := os.ReadFile(s.file)
	if err != nil {
		return "", fmt.Errorf("--%s: %w", s.fileFlag, err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("--%s: %s is empty: write the %s into it", s.fileFlag, s.file, s.what)
	}
	return value, nil
}

// formFlags say how a string to sign is made.
type formFlags struct {
	url  string
	body string
}

func (f *formFlags) bind(cmd *cobra.Command, url, body string) {
	cmd.Flags().StringVar(&f.url, "url-form", url, "`form` of the URL: full, full_query, path, path_query, host_path,\nor the URL as it is typed in K-LINK")
	cmd.Flags().StringVar(&f.body, "body-form", body, "`form` of the body: go, raw, or any of\nno_html_escape,raw_numbers,long_escapes")
}

func (f *formFlags) parse() (form verifier.Form, err error) {
	if form.URL, err = verifier.ParseURLForm(f.url); err != nil {
		return form, fmt.Errorf("--url-form: %w", err)
	}
	words := strings.FieldsFunc(f.body, func(r rune) bool { return r == ',' || r == ' ' })
	if form.Body, err = verifier.ParseBodyForm(words); err != nil {
		return form, fmt.Errorf("--body-form: %w", err)
	}
	return form, nil
}

// readBody reads a file, or the standard input if its name is "-".
func readBody(cmd *cobra.Command, name string) ([]byte, error) {
	if name != "-" {
		return os.ReadFile(name)
	}
	body, err := io.ReadAll(cmd.InOrStdin())
	if err != nil {
		return nil, fmt.Errorf("the standard input: %w", err)
	}
	return body, nil
}

// arguments names what a command needs, so that the error can.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(args) < len(names) {
			return fmt.Errorf("the %s is missing: see '%s --help'", names[len(args)], cmd.CommandPath())
		}
		return errors.New("too many arguments: see '" + cmd.CommandPath() + " --help'")
	}
}

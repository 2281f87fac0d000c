package klink

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/klinkgate/caddy-klink/verifier"
)

// secretFlags name any number of secrets, any of which is good.
type secretFlags struct {
	files []string
	envs  []string
}

// namedSecret is a secret with the placeholder that a Caddyfile has for it.
type namedSecret struct {
	placeholder string
	secret      verifier.Secret
}

func (f *secretFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "secret-file", nil, "`file` with a secret; a newline at its end does not count;\nmay be repeated")
	cmd.Flags().StringArrayVar(&f.envs, "secret-env", nil, "`name` of an environment variable with a secret;\nmay be repeated (default KLINK_SECRET)")
}

func (f *secretFlags) read() ([]namedSecret, error) {
	envs := f.envs
	if len(envs)+len(f.files) == 0 {
		envs = []string{"KLINK_SECRET"}
	}
	var secrets []namedSecret
	add := func(placeholder string, source credentialSource) error {
		value, err := source.read()
		if err != nil {
			return err
		}
		secret, err := verifier.NewSecret(value)
		secrets = append(secrets, namedSecret{placeholder, secret})
		return err
	}
	for _, name := range envs {
		if err := add("{env."+name+"}", credentialSource{what: "secret", fileFlag: "secret-file", env: name}); err != nil {
			return nil, err
		}
	}
	for _, name := range f.files {
		path, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		if err := add("{file."+path+"}", credentialSource{what: "secret", fileFlag: "secret-file", file: name}); err != nil {
			return nil, err
		}
	}
	return secrets, nil
}

package klink

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/klinkgate/caddy-klink/sender"
	"github.com/klinkgate/caddy-klink/verifier"
)

// sendCredentials are the flags about what a delivery carries.
type sendCredentials struct {
	form     formFlags
	secret   credentialSource
	header   string
	encoding string
	prefix   string

	basic    string
	password credentialSource

	custom string
	value  credentialSource
}

func (c *sendCredentials) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	c.form.bind(cmd, "full", "go")
	c.secret.what, c.password.what, c.value.what = "secret", "password", "header-value"
	c.secret.bind(cmd, "KLINK_SECRET")
	flags.StringVar(&c.header, "signature-header", verifier.DefaultSignatureHeaders[0], "`name` of the signature's header")
	flags.StringVar(&c.encoding, "encoding", string(sender.Hex), "`encoding` of the signature: hex or base64")
	flags.StringVar(&c.prefix, "signature-prefix", "", "`text` before the signature, such as sha256=")
	flags.StringVar(&c.basic, "basic", "", "`user` of HTTP Basic credentials")
	c.password.bind(cmd, "KLINK_PASSWORD")
	flags.StringVar(&c.custom, "header", "", "`name` of a custom header with a fixed value")
	c.value.bind(cmd, "KLINK_HEADER_VALUE")
}

// signatureFlags ask for a signature even beside other credentials.
var signatureFlags = [...]string{"secret-file", "secret-env", "url-form", "body-form", "signature-header", "encoding", "signature-prefix"}

func (c *sendCredentials) read(cmd *cobra.Command) ([]sender.Credential, error) {
	var credentials []sender.Credential
	add := func(credential sender.Credential, err error) error {
		credentials = append(credentials, credential)
		return err
	}
	if c.basic != "" {
		password, err := c.password.read()
		if err != nil {
			return nil, err
		}
		if err := add(sender.BasicAuth(c.basic, password)); err != nil {
			return nil, err
		}
	}
	if c.custom != "" {
		value, err := c.value.read()
		if err != nil {
			return nil, err
		}
		if err := add(sender.FixedHeader(c.custom, value)); err != nil {
			return nil, err
		}
	}
	asked := slices.ContainsFunc(signatureFlags[:], func(name string) bool { return cmd.Flags().Changed(name) })
	if len(credentials) > 0 && !asked {
		return credentials, nil
	}
	signing, err := c.signing()
	if err != nil {
		return nil, err
	}
	return credentials, add(signing.Credential())
}

func (c *sendCredentials) signing() (sender.Signing, error) {
	s := sender.Signing{Header: c.header, Encoding: sender.Encoding(c.encoding), Prefix: c.prefix}
	var err error
	if s.Form, err = c.form.parse(); err != nil {
		return s, err
	}
	secret, err := c.secret.read()
	if err != nil {
		return s, err
	}
	s.Secret, err = verifier.NewSecret(secret)
	return s, err
}

package sender

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// ParseCurl reads what a curl command line would send. The command is not run; readFile reads what an option takes
// from a file, "@name". An option that would make another request than a delivery is an error. No error repeats a
// header's value or the body.
func ParseCurl(command string, readFile func(name string) ([]byte, error)) (*Captured, error) {
	words, err := shellWords(command)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 || !isCurl(words[0]) {
		return nil, errors.New("this is no curl command: begin with curl")
	}
	c := &curl{readFile: readFile, header: map[string][]string{}}
	if err := c.read(words[1:]); err != nil {
		return nil, err
	}
	return c.captured()
}

func isCurl(word string) bool {
	name := word[strings.LastIndexAny(word, `/\`)+1:]
	return name == "curl" || name == "curl.exe"
}

// curl is what its options say.
type curl struct {
	readFile func(string) ([]byte, error)
	method   string
	url      string
	header   map[string][]string
	removed  []string // headers that are not to be sent
	user     string
	data     [][]byte
}

func (c *curl) read(words []string) error {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		var err error
		switch {
		case strings.HasPrefix(word, "--") && word != "--":
			words, err = c.long(word, words)
		case strings.HasPrefix(word, "-") && word != "-" && word != "--":
			words, err = c.short(word[1:], words)
		case word != "--":
			err = c.setURL(word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Options that change nothing in the request, without and with a value.
var (
	curlFlags = strings.Fields(`--compressed --compressed-ssh --fail --fail-with-body --globoff --http1.0 --http1.1 --http2
		--http2-prior-knowledge --http3 --include --insecure --ipv4 --ipv6 --location --no-buffer --no-keepalive --path-as-is
		--post301 --post302 --progress-bar --show-error --silent --tlsv1 --tlsv1.2 --tlsv1.3 --verbose`)
	curlShortFlags = "fgikLNsSv0146#"
	curlValues     = strings.Fields(`--cacert --capath --cert --cert-type --connect-timeout --connect-to --cookie-jar --dump-header
		--interface --key --max-time --noproxy --output --proxy --resolve --retry --retry-delay --retry-max-time --stderr --trace
		--trace-ascii --write-out`)
	curlShortValues = "EDmoxcw"
)

// curlOptions are those that say what is sent, with their short names.
var curlOptions = map[string]string{
	"X": "--request", "H": "--header", "d": "--data", "u": "--user", "A": "--user-agent", "e": "--referer", "b": "--cookie",
}

func (c *curl) long(name string, words []string) ([]string, error) {
	if slices.Contains(curlFlags, name) {
		return words, nil
	}
	if len(words) == 0 && (slices.Contains(curlValues, name) || curlSends(name)) {
		return nil, fmt.Errorf("curl's option %s is the last word and needs a value", name)
	}
	switch {
	case slices.Contains(curlValues, name):
		return words[1:], nil
	case curlSends(name):
		return words[1:], c.set(name, words[0])
	}
	return nil, unknownCurlOption(name)
}

func unknownCurlOption(name string) error {
	if strings.ContainsAny(name, "= ") || len(name) > 32 {
		name = "with a value in the same word"
	}
	return fmt.Errorf("curl's option %s is not understood: leave it out, and keep -X, -H, -d, --data-raw, --data-binary, --json and -u", name)
}

func curlSends(name string) bool {
	switch name {
	case "--request", "--header", "--data", "--data-ascii", "--data-raw", "--data-binary", "--json", "--user", "--url",
		"--user-agent", "--referer", "--cookie":
		return true
	}
	return false
}

// short reads one word of short options: -sSXPOST, for instance.
func (c *curl) short(letters string, words []string) ([]string, error) {
	for letters != "" {
		letter := letters[:1]
		letters = letters[1:]
		if strings.Contains(curlShortFlags, letter) {
			continue
		}
		name, sends := curlOptions[letter]
		if !sends && !strings.Contains(curlShortValues, letter) {
			return nil, unknownCurlOption("-" + letter)
		}
		value := letters
		if value == "" {
			if len(words) == 0 {
				return nil, fmt.Errorf("curl's option -%s is the last word and needs a value", letter)
			}
			value, words = words[0], words[1:]
		}
		if sends {
			return words, c.set(name, value)
		}
		return words, nil
	}
	return words, nil
}

func (c *curl) set(name, value string) error {
	switch name {
	case "--request":
		c.method = value
	case "--url":
		return c.setURL(value)
	case "--user":
		c.user = value
	case "--header":
		return c.addHeader(value)
	case "--user-agent":
		c.header["User-Agent"] = []string{value}
	case "--referer":
		c.header["Referer"] = []string{value}
	case "--cookie":
		c.header["Cookie"] = append(c.header["Cookie"], value)
	case "--json":
		c.header["Content-Type"] = []string{"application/json"}
		c.header["Accept"] = []string{"application/json"}
		return c.addData(value, true, false)
	default:
		return c.addData(value, name != "--data-raw", name == "--data" || name == "--data-ascii")
	}
	return nil
}

func (c *curl) setURL(url string) error {
	if c.url != "" {
		return errors.New("the command has two URLs: give one request at a time, and put quotes around what belongs together")
	}
	c.url = url
	return nil
}

// addHeader reads "Name: value", "Name:" (which is not sent) and "Name;" (which is sent empty).
func (c *curl) addHeader(line string) error {
	name, value, found := strings.Cut(line, ":")
	if !found {
		name, found = strings.CutSuffix(line, ";")
	} else if strings.Trim(value, " \t") == "" {
		c.removed = append(c.removed, textproto.CanonicalMIMEHeaderKey(name))
		return nil
	}
	if !found || !validName(name) {
		return errors.New("a header of the command is none: write -H 'Name: value'")
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	c.header[name] = append(c.header[name], strings.Trim(value, " \t"))
	return nil
}

var lineBreaks = strings.NewReplacer("\r", "", "\n", "", "\x00", "")

func (c *curl) addData(value string, fromFile, stripped bool) error {
	data := []byte(value)
	if name, isFile := strings.CutPrefix(value, "@"); isFile && fromFile {
		var err error
		if data, err = c.readFile(name); err != nil {
			return fmt.Errorf("the body of the command: %w", err)
		}
		if stripped {
			data = []byte(lineBreaks.Replace(string(data)))
		}
	}
	c.data = append(c.data, data)
	return nil
}

func (c *curl) captured() (*Captured, error) {
	if c.url == "" {
		return nil, errors.New("the command has no URL")
	}
	if !strings.Contains(c.url, "://") {
		c.url = "http://" + c.url
	}
	if c.method == "" {
		c.method = "GET"
		if len(c.data) > 0 {
			c.method = "POST"
		}
	}
	to, err := DeliveryTo(c.method, c.url)
	if err != nil {
		return nil, err
	}
	if c.user != "" && c.header["Authorization"] == nil {
		c.header["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(c.user))}
	}
	if c.header["Content-Type"] == nil && len(c.data) > 0 {
		c.header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	}
	for _, name := range c.removed {
		delete(c.header, name)
	}
	captured := &Captured{Delivery: *to, Body: c.body()}
	captured.Delivery.Header = c.header
	if values := c.header["Host"]; len(values) > 0 {
		captured.Delivery.Host = values[0]
		delete(c.header, "Host")
	}
	return captured, nil
}

// body joins the pieces as curl does.
func (c *curl) body() []byte {
	var body []byte
	for i, data := range c.data {
		if i > 0 {
			body = append(body, '&')
		}
		body = append(body, data...)
	}
	return body
}

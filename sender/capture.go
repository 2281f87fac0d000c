package sender

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/klinkgate/caddy-klink/verifier"
)

// Captured is what a sender sent, as it was caught on its way.
type Captured struct {
	Delivery verifier.Delivery // Scheme is "https" where the capture does not tell
	Body     []byte
	Notes    []string // what makes the capture doubtful; they hold no header's value and nothing of the body
}

// Hosts returns under which hosts the sender may know the endpoint.
func (c *Captured) Hosts() []string {
	return verifier.OtherHosts(c.Delivery.Host, c.Delivery.Header)
}

func (c *Captured) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// ParseRequest reads a raw HTTP/1 request: the request line, the header and, after an empty line, the body. Lines may
// end in a line feed alone. Without a Content-Length everything that follows the header is the body. No error repeats
// what the request holds.
func ParseRequest(raw []byte) (*Captured, error) {
	lines := requestLines{rest: bytes.TrimLeft(raw, "\r\n")}
	c := &Captured{}
	if err := c.requestLine(lines.next()); err != nil {
		return nil, err
	}
	if err := c.readHeader(&lines); err != nil {
		return nil, err
	}
	c.Delivery.Host = c.host()
	if c.Delivery.Host == "" {
		return nil, errors.New("the request has no Host header: add the line that K-LINK sent")
	}
	c.readBody(lines.rest)
	return c, nil
}

type requestLines struct {
	rest   []byte
	number int
}

func (l *requestLines) next() string {
	var line []byte
	line, l.rest, _ = bytes.Cut(l.rest, []byte("\n"))
	l.number++
	return string(bytes.TrimSuffix(line, []byte("\r")))
}

func (c *Captured) requestLine(line string) error {
	method, rest, _ := strings.Cut(line, " ")
	end := strings.LastIndex(rest, " HTTP/")
	if !validName(method) || end < 0 {
		return errors.New("this is no HTTP request: its first line must read like POST /path HTTP/1.1; use --curl for a curl command")
	}
	target := rest[:end]
	c.Delivery.Method, c.Delivery.Target, c.Delivery.Scheme = method, target, "https"
	scheme, hostAndPath, absolute := strings.Cut(target, "://")
	switch {
	case strings.HasPrefix(target, "/"):
		return nil
	case !absolute || scheme != "http" && scheme != "https":
		return errors.New("the path in the request's first line does not begin with a slash")
	}
	slash := strings.IndexByte(hostAndPath, '/')
	if slash < 0 {
		return errors.New("the URL in the request's first line has no path")
	}
	c.Delivery.Scheme, c.Delivery.Host, c.Delivery.Target = scheme, hostAndPath[:slash], hostAndPath[slash:]
	return nil
}

func (c *Captured) readHeader(lines *requestLines) error {
	c.Delivery.Header = map[string][]string{}
	for {
		line := lines.next()
		if line == "" {
			return nil
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !validName(name) {
			return fmt.Errorf("line %d is no header: write Name: value, and an empty line before the body", lines.number)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		c.Delivery.Header[name] = append(c.Delivery.Header[name], strings.Trim(value, " \t"))
	}
}

// host takes the Host header out, as Go's HTTP server does. The host of a request line with a whole URL wins.
func (c *Captured) host() string {
	host := c.Delivery.Host
	if values := c.Delivery.Header["Host"]; host == "" && len(values) > 0 {
		host = values[0]
	}
	delete(c.Delivery.Header, "Host")
	return host
}

// readBody takes the body as it is where the header does not fit it, and notes that.
func (c *Captured) readBody(rest []byte) {
	c.Body = rest
	if codings := c.Delivery.Header["Transfer-Encoding"]; len(codings) > 0 {
		body, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(rest)))
		if err != nil {
			c.note("the header says that the body is chunked, but it is not: it is taken as it is")
			return
		}
		c.Body = body
		return
	}
	lengths := c.Delivery.Header["Content-Length"]
	if len(lengths) == 0 {
		if bytes.HasSuffix(rest, []byte("\n")) {
			c.note("without a Content-Length the line break at the end counts as part of the body")
		}
		return
	}
	length, err := strconv.Atoi(lengths[0])
	switch {
	case err != nil || length < 0:
		c.note("the Content-Length is no number: the body is taken as it is")
	case length > len(rest):
		c.note("the body has %d bytes and its Content-Length is %d: the capture is cut off, or its line ends were changed", len(rest), length)
	default:
		if len(bytes.TrimSpace(rest[length:])) > 0 {
			c.note("%d bytes after the body's Content-Length of %d are left out", len(rest)-length, length)
		}
		c.Body = rest[:length]
	}
}

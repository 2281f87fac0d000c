package sender

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// shellWords splits a command line as a POSIX shell does: quotes, $'...', backslashes, line continuations and
// comments. Nothing is run, and nothing is put in for variables: what a shell would do more than split is an error.
func shellWords(s string) ([]string, error) {
	p := &shellParser{rest: s}
	for {
		p.skipSpace()
		if p.rest == "" {
			return p.words, nil
		}
		word, err := p.word()
		if err != nil {
			return nil, fmt.Errorf("in word %d of the command: %w", len(p.words)+1, err)
		}
		p.words = append(p.words, word)
	}
}

type shellParser struct {
	rest  string
	words []string
}

func (p *shellParser) skipSpace() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n")
		if continued, ok := cutContinuation(p.rest); ok {
			p.rest = continued
			continue
		}
		if !strings.HasPrefix(p.rest, "#") {
			return
		}
		_, p.rest, _ = strings.Cut(p.rest, "\n")
	}
}

// cutContinuation takes off a backslash at the end of a line.
func cutContinuation(s string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, "\\\n"); ok {
		return rest, true
	}
	return strings.CutPrefix(s, "\\\r\n")
}

func (p *shellParser) word() (string, error) {
	var word strings.Builder
	for p.rest != "" && !strings.ContainsRune(" \t\r\n", rune(p.rest[0])) {
		if err := p.part(&word); err != nil {
			return "", err
		}
	}
	return word.String(), nil
}

func (p *shellParser) part(word *strings.Builder) error {
	if rest, ok := cutContinuation(p.rest); ok {
		p.rest = rest
		return nil
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch {
	case c == '\'':
		return p.single(word)
	case c == '"':
		return p.double(word)
	case c == '$' && strings.HasPrefix(p.rest, "'"):
		p.rest = p.rest[1:]
		return p.ansi(word)
	case c == '\\' && p.rest != "":
		word.WriteByte(p.rest[0])
		p.rest = p.rest[1:]
		return nil
	case expands(c, p.rest):
		return errExpansion
	case strings.IndexByte("|&;<>()", c) >= 0:
		return fmt.Errorf("a shell would not pass %q on: put quotes around the word, and give the curl command alone", c)
	}
	word.WriteByte(c)
	return nil
}

var (
	errQuote     = errors.New("a quote is not closed")
	errExpansion = errors.New("a shell would put something in for $ or `: write the value itself, or single quotes around it")
)

func expands(c byte, rest string) bool {
	if c == '`' {
		return true
	}
	return c == '$' && rest != "" && (rest[0] == '{' || rest[0] == '(' || rest[0] == '_' || isLetterOrDigit(rest[0]) ||
		strings.IndexByte("?!*@#$-", rest[0]) >= 0)
}

func isLetterOrDigit(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
}

func (p *shellParser) single(word *strings.Builder) error {
	text, rest, found := strings.Cut(p.rest, "'")
	if !found {
		return errQuote
	}
	word.WriteString(text)
	p.rest = rest
	return nil
}

func (p *shellParser) double(word *strings.Builder) error {
	for p.rest != "" {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c == '"':
			return nil
		case expands(c, p.rest):
			return errExpansion
		case c == '\\' && p.rest != "":
			next := p.rest[0]
			p.rest = p.rest[1:]
			if strings.IndexByte("\"\\$`", next) < 0 && next != '\n' {
				word.WriteByte('\\')
			}
			if next != '\n' {
				word.WriteByte(next)
			}
		default:
			word.WriteByte(c)
		}
	}
	return errQuote
}

// ansi reads the rest of $'...', which browsers write when they copy a request.
func (p *shellParser) ansi(word *strings.Builder) error {
	for p.rest != "" {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c == '\'':
			return nil
		case c == '\\' && p.rest != "":
			p.ansiEscape(word)
		default:
			word.WriteByte(c)
		}
	}
	return errQuote
}

const ansiSingle, ansiMeaning = `abefnrtvE\'"?`, "\a\b\x1b\f\n\r\t\v\x1b\\'\"?"

func (p *shellParser) ansiEscape(word *strings.Builder) {
	c := p.rest[0]
	p.rest = p.rest[1:]
	if i := strings.IndexByte(ansiSingle, c); i >= 0 {
		word.WriteByte(ansiMeaning[i])
		return
	}
	switch c {
	case 'x':
		if n, ok := p.digits(16, 2); ok {
			word.WriteByte(byte(n))
			return
		}
	case 'u', 'U':
		if n, ok := p.digits(16, map[byte]int{'u': 4, 'U': 8}[c]); ok {
			word.Write(utf8.AppendRune(nil, rune(n)))
			return
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		p.rest = string(c) + p.rest
		n, _ := p.digits(8, 3)
		word.WriteByte(byte(n))
		return
	}
	word.WriteByte('\\')
	word.WriteByte(c)
}

// digits takes off at most that many digits.
func (p *shellParser) digits(base, most int) (uint64, bool) {
	for n := min(most, len(p.rest)); n > 0; n-- {
		if value, err := strconv.ParseUint(p.rest[:n], base, 32); err == nil {
			p.rest = p.rest[n:]
			return value, true
		}
	}
	return 0, false
}

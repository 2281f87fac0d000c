package sender_test

import (
	"os/exec"
	"strings"
	"testing"
)

func TestSenderKnowsNoCaddy(t *testing.T) {
	imports := must(exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".").Output())(t)
	for line := range strings.FieldsSeq(string(imports)) {
		host, _, _ := strings.Cut(line, "/")
		if !strings.Contains(host, ".") {
			continue // the standard library
		}
		switch line {
		case "github.com/klinkgate/caddy-klink/normalize", "github.com/klinkgate/caddy-klink/verifier":
		default:
			t.Errorf("sender imports %s", line)
		}
	}
}

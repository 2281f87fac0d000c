package verifier

import (
	"slices"
	"testing"
)

func TestReadings(t *testing.T) {
	url := func(s string) URLForm {
		f, err := ParseURLForm(s)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	body := func(words ...string) BodyForm {
		f, err := ParseBodyForm(words)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, tt := range []struct {
		form Form
		want []string
	}{
		{Form{url("path"), body("raw")}, []string{"path raw"}},
		{Form{url("https://a.example/x"), body("raw_numbers", "long_escapes")}, []string{"https://a.example/x raw_numbers long_escapes"}},
		{Form{url("auto"), body("go")}, []string{"full go", "full_query go", "path go", "path_query go", "host_path go"}},
		{Form{url("path"), body("auto")}, []string{
			"path go", "path no_html_escape", "path raw_numbers", "path no_html_escape raw_numbers", "path long_escapes",
			"path no_html_escape long_escapes", "path raw_numbers long_escapes", "path no_html_escape raw_numbers long_escapes",
			"path raw",
		}},
	} {
		var got []string
		for _, f := range tt.form.Readings() {
			got = append(got, f.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v.Readings() = %q, want %q", tt.form, got, tt.want)
		}
	}
	if got := len(Form{}.Readings()); got != 45 {
		t.Errorf("auto has %d readings, want 45", got)
	}
}

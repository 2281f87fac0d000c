package verifier

// Readings returns every form that f leaves open, in the order in which auto
// tries them: f alone when neither part is auto. Some of them may give the same
// string to sign for a certain delivery.
func (f Form) Readings() []Form {
	urls := []URLForm{f.URL}
	if f.URL.auto() {
		urls = urls[:0]
		for _, name := range urlForms {
			urls = append(urls, URLForm{name: name})
		}
	}
	bodies := f.Body.readings()
	forms := make([]Form, 0, len(urls)*len(bodies))
	for _, body := range bodies {
		for _, url := range urls {
			forms = append(forms, Form{url, body})
		}
	}
	return forms
}

func (f BodyForm) readings() []BodyForm {
	if !f.auto() {
		return []BodyForm{f}
	}
	var bodies []BodyForm
	for v := variant(0); v <= allVariants; v++ {
		bodies = append(bodies, BodyForm{kind: bodyJSON, variant: v})
	}
	return append(bodies, BodyForm{kind: bodyRaw})
}

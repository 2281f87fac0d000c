package sender

import (
	"encoding/json"
)

// Event is something that K-LINK tells about.
type Event struct {
	Name string // as in the envelope; for people only
	Body []byte // sent as it is
}

// ReadEvent takes a body as it is and looks up its name. A body without the envelope has the name "".
func ReadEvent(body []byte) Event {
	var envelope struct {
		Event string `json:"event"`
	}
	_ = json.Unmarshal(body, &envelope) // any body may be sent, to see how an endpoint takes it
	return Event{Name: envelope.Event, Body: body}
}

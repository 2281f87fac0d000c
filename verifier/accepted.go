package verifier

// Accepted is what the handlers behind klink_webhook may know of a delivery.
type Accepted struct {
	Endpoint string
	Event    string // the event's name; empty when it is not known
	Verified bool   // false for what observe mode lets through
}

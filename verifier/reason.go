package verifier

// Reason is why a delivery was refused: one word from a closed set, the same in
// logs, metrics, placeholders and documentation.
type Reason string

// The closed set of reasons.
const (
	MethodNotAllowed    Reason = "method_not_allowed"
	AddressNotAllowed   Reason = "address_not_allowed"
	CredentialMissing   Reason = "credential_missing"
	CredentialMalformed Reason = "credential_malformed"
	BodyTooLarge        Reason = "body_too_large"
	BodyIncomplete      Reason = "body_incomplete"
	BodyMalformed       Reason = "body_malformed"
	BodyAmbiguous       Reason = "body_ambiguous"
	QueryAmbiguous      Reason = "query_ambiguous"
	PathAmbiguous       Reason = "path_ambiguous"
	SignatureMismatch   Reason = "signature_mismatch"
	BasicMismatch       Reason = "basic_mismatch"
	HeaderMismatch      Reason = "header_mismatch"
)

// Reasons returns the whole set, in the order in which the checks run.
func Reasons() []Reason {
	return []Reason{
		MethodNotAllowed, AddressNotAllowed, CredentialMissing, CredentialMalformed,
		BasicMismatch, HeaderMismatch, PathAmbiguous, QueryAmbiguous,
		BodyTooLarge, BodyIncomplete, BodyMalformed, BodyAmbiguous, SignatureMismatch,
	}
}

// Refusal is the error for a delivery that is not acceptable. Detail is for the
// operator: it names header names, offsets and sizes, never a secret, a
// signature or a part of the body.
type Refusal struct {
	Reason Reason
	Detail string
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return string(r.Reason)
	}
	return string(r.Reason) + ": " + r.Detail
}

func refuse(reason Reason, detail string) *Refusal {
	return &Refusal{Reason: reason, Detail: detail}
}

// Package normalize writes the normal forms of a query and of a JSON body that a K-LINK signature covers: bytes in,
// bytes out.
//
// The reference for JSON is what Go's encoding/json makes of it, Unmarshal into any and then Marshal; the reference
// for a query is net/url's ParseQuery, keys and values sorted, printed as key=[v1 v2]&key2=[v].
//
// A signature over a normal form says nothing about the bytes it was made from. So the zero Options refuses what has
// more than one reading, and with it Method + URL + query + body can be read back in only one way.
package normalize

// Options chooses among the readings that a sender's code may have. The zero value is encoding/json's form with every
// ambiguous input refused. Options can be combined.
type Options struct {
	// AllowAmbiguous gives encoding/json's verdict and bytes, respectively url.ParseQuery's verdict, on every input:
	// repeated keys, invalid UTF-8, top levels other than an object, and query values that run into each other.
	// Malformed input stays an error.
	AllowAmbiguous bool
	// NoHTMLEscape writes < > & as they are, as json.Encoder does after SetEscapeHTML(false). U+2028 and U+2029 are
	// escaped all the same.
	NoHTMLEscape bool
	// RawNumbers keeps numbers as they are written, as json.Decoder does after UseNumber. A number too large for a
	// float64 is then no error.
	RawNumbers bool
	// LongEscapes writes \u0008 and \u000c in place of \b and \f, as encoding/json did before Go 1.22.
	LongEscapes bool
}

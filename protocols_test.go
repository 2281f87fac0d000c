package klink_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// encrypted is a gateway as K-LINK reaches it over the network: with TLS, on a TCP
// port and a UDP port.
type encrypted struct {
	*server
	tcp, udp string
}

func startEncrypted(t *testing.T, backend string) *encrypted {
	t.Helper()
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = packets.Close() })
	descriptor := func(file *os.File, err error) uintptr {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		return file.Fd()
	}
	certificate, key := selfSigned(t)
	return &encrypted{
		server: startCaddyfile(t, fmt.Sprintf(`{
			{common}
			servers {
				trusted_proxies static 127.0.0.1
			}
		}
		https://hooks.example.com {
			bind fd/%d {
				protocols h1 h2
			}
			bind fdgram/%d {
				protocols h3
			}
			tls %s %s
			klink_webhook {
				hmac "%s"
			}
			reverse_proxy %s
		}`, descriptor(stream.(*net.TCPListener).File()), descriptor(packets.(*net.UDPConn).File()), certificate, key, testSecret, backend)),
		tcp: stream.Addr().String(),
		udp: packets.LocalAddr().String(),
	}
}

// clients returns one for every version of HTTP, by the number that an answer has.
func (s *encrypted) clients(t *testing.T) map[int]*http.Client {
	t.Helper()
	config := func() *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, ServerName: "hooks.example.com"}
	}
	overTCP := func(http2 bool) *http.Transport {
		transport := &http.Transport{
			TLSClientConfig: config(),
			Protocols:       new(http.Protocols),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", s.tcp)
			},
		}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetHTTP2(http2)
		t.Cleanup(transport.CloseIdleConnections)
		return transport
	}
	overUDP := &http3.Transport{
		TLSClientConfig: config(),
		Dial: func(ctx context.Context, _ string, config *tls.Config, quicConfig *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, s.udp, config, quicConfig)
		},
	}
	t.Cleanup(func() { _ = overUDP.Close() })
	clients := make(map[int]*http.Client)
	for version, transport := range map[int]http.RoundTripper{1: overTCP(false), 2: overTCP(true), 3: overUDP} {
		clients[version] = &http.Client{Transport: transport, Timeout: patience}
	}
	return clients
}

// TestEveryHTTPVersionOverTLS: whichever K-LINK speaks, the backend gets the same
// bytes and how many they are, and what is not signed stays outside.
func TestEveryHTTPVersionOverTLS(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startEncrypted(t, b.address)
	const base, target = "https://hooks.example.com", "/h%6Fok?b=2&a=1"
	for version, client := range s.clients(t) {
		send := func(body, signature string, length int64) int {
			t.Helper()
			r := delivery(t, target, body)
			r.URL.Scheme = "https"
			r.Header.Set("X-Signature", signature)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), length
			res, err := client.Do(r)
			if err != nil {
				t.Fatalf("HTTP/%d: %v", version, err)
			}
			defer func() { _ = res.Body.Close() }()
			if res.ProtoMajor != version {
				t.Errorf("%s instead of HTTP/%d", res.Proto, version)
			}
			return res.StatusCode
		}
		for _, body := range []string{testBody, " { \"z\" : 1.0,\r\n\t\"a\":\"<\\/\\u00e9\" } ", padded(300_000)} {
			for _, length := range []int64{int64(len(body)), -1} {
				signature := sign(t, testSecret, "full", "go", base, target, body)
				if status := send(body, signature, length); status != 200 {
					t.Errorf("HTTP/%d: answered %d, %v", version, status, s.refusals(t))
					continue
				}
				got := b.one(t)
				if got.body != body || got.err != nil || got.RequestURI != target || got.Host != "hooks.example.com" {
					t.Errorf("HTTP/%d: the backend got %s%s with %d bytes, %v", version, got.Host, got.RequestURI, len(got.body), got.err)
				}
				if got.Header.Get("Content-Length") != strconv.Itoa(len(body)) || len(got.TransferEncoding) > 0 {
					t.Errorf("HTTP/%d: Content-Length %q, Transfer-Encoding %v", version, got.Header.Get("Content-Length"), got.TransferEncoding)
				}
			}
		}
		if status := send(testBody, strings.Repeat("0", 64), int64(len(testBody))); status != 401 {
			t.Errorf("HTTP/%d: a wrong signature is answered with %d", version, status)
		}
		b.none(t)
	}
}

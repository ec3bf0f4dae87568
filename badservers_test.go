// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

// Servers and proxies that answer Start with something else than pods.

// signInPage is what an authenticating proxy answers to a client that has not signed in.
const signInPage = `<!DOCTYPE html>
<html>
<head><title>Sign in</title><style>body { color: red }</style></head>
<body><a href="https://login.example/oauth?client=1">Sign in</a></body>
</html>`

func answer(code int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// page is what client-go makes of an HTML page with an error code.
func page(code int) *apierrors.StatusError {
	return textAnswer(code, fmt.Sprintf("<html><head><title>%d %s</title></head></html>", code, http.StatusText(code)))
}

// textAnswer is what client-go makes of a text with an error code.
func textAnswer(code int, body string) *apierrors.StatusError {
	return apierrors.NewGenericServerResponse(code, "get", podsResource.GroupResource(), "", body, 0, true)
}

func withHost(host string) func(t *testing.T) *rest.Config {
	return func(t *testing.T) *rest.Config {
		// Each client has its own transport, so that no test sees another's connections.
		transport := &http.Transport{Proxy: nil}
		t.Cleanup(transport.CloseIdleConnections)
		return &rest.Config{Host: host, Transport: transport}
	}
}

func plainServer(handler http.HandlerFunc) func(t *testing.T) *rest.Config {
	return func(t *testing.T) *rest.Config {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return withHost(server.URL)(t)
	}
}

// rawServer answers each connection with bytes that are not HTTP.
func rawServer(answer string) func(t *testing.T) *rest.Config {
	return func(t *testing.T) *rest.Config {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 1))
				_, _ = io.WriteString(conn, answer)
				conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
		}()
		return withHost("http://" + listener.Addr().String())(t)
	}
}

func redirectToSignIn(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/login" {
		answer(200, "text/html", signInPage)(w, r)
		return
	}
	http.Redirect(w, r, "/login", http.StatusFound)
}

func redirectForEver(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, r.URL.Path, http.StatusFound)
}

// throughProxy returns a client whose proxy answers with a code.
func throughProxy(code int) func(t *testing.T) *rest.Config {
	return func(t *testing.T) *rest.Config {
		proxy := httptest.NewServer(answer(code, "text/html", signInPage))
		t.Cleanup(proxy.Close)
		address, err := url.Parse(proxy.URL)
		must(t, err)
		transport := &http.Transport{Proxy: http.ProxyURL(address)}
		t.Cleanup(transport.CloseIdleConnections)
		return &rest.Config{Host: "https://api.example:6443", Transport: transport}
	}
}

// throughDeadProxy returns the error of a request through a proxy that is down.
func throughDeadProxy(t *testing.T) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	listener.Close()
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: listener.Addr().String()})}}
	_, err = client.Get("https://api.example:6443") //nolint:bodyclose // it fails
	failed, ok := errors.AsType[*url.Error](err)
	if !ok {
		t.Fatalf("a request through a proxy that is down: %v, want an error", err)
	}
	return failed.Err
}

func httpToTLS(t *testing.T) *rest.Config {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	server.Config.ErrorLog = discardLog
	return withHost(strings.Replace(server.URL, "https:", "http:", 1))(t)
}

func httpsToPlain(t *testing.T) *rest.Config {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return withHost(strings.Replace(server.URL, "http:", "https:", 1))(t)
}

// A certified is the settings of a TLS server and its client.
type certified struct {
	authority, server              x509.Certificate // templates
	otherAuthority, requiresClient bool
}

func expiredCertificate(c *certified) {
	c.server.NotBefore, c.server.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func futureCertificate(c *certified) { c.server.NotBefore = time.Now().Add(time.Hour) }

func expiredAuthority(c *certified) {
	c.authority.NotBefore, c.authority.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func otherAuthority(c *certified) { c.otherAuthority = true }

func otherName(c *certified) {
	c.server.IPAddresses, c.server.DNSNames = nil, []string{"other.example"}
}

func clientCertificateRequired(c *certified) { c.requiresClient = true }

func tlsServer(change func(*certified)) func(t *testing.T) *rest.Config {
	return func(t *testing.T) *rest.Config {
		c := certified{authority: template("authority"), server: template("server")}
		c.authority.IsCA, c.authority.BasicConstraintsValid = true, true
		c.server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		change(&c)
		authority := sign(t, &c.authority, nil)
		certificate := sign(t, &c.server, &authority)

		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = discardLog
		server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		if c.requiresClient {
			server.TLS.ClientAuth = tls.RequireAnyClientCert
		}
		server.StartTLS()
		t.Cleanup(server.Close)
		trusted := authority
		if c.otherAuthority {
			trusted = sign(t, &c.authority, nil)
		}
		return &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{
			CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.Certificate[0]}),
		}}
	}
}

func template(name string) x509.Certificate {
	return x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
}

// sign makes a certificate, which signs itself if by is nil.
func sign(t *testing.T, certificate *x509.Certificate, by *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	parent, signer := certificate, any(key)
	if by != nil {
		parent, err = x509.ParseCertificate(by.Certificate[0])
		must(t, err)
		signer = by.PrivateKey
	}
	raw, err := x509.CreateCertificate(rand.Reader, certificate, parent, &key.PublicKey, signer)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

var discardLog = log.New(io.Discard, "", 0)

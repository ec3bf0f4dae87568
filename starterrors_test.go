// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// A startError is what Start must return in one case.
type startError struct {
	is   func(error) bool // nil for any error
	says []string
	// not has words that would name a wrong cause.
	not []string
}

// check fails unless err is the error of a Start. No error contains the URL of the request.
func (want startError) check(t *testing.T, err error) {
	t.Helper()
	t.Logf("Start = %v", err)
	if err == nil {
		t.Fatal("Start = nil, want an error")
	}
	if want.is != nil && !want.is(err) {
		t.Errorf("the cause of the error cannot be recognised: %#v", err)
	}
	text := err.Error()
	for _, part := range want.says {
		if !strings.Contains(text, part) {
			t.Errorf("Start = %q, want %q in it", text, part)
		}
	}
	for _, part := range append(want.not, "/api/v1", "labelSelector", "?", "\n", "<") {
		if strings.Contains(text, part) {
			t.Errorf("Start = %q, want no %q in it", text, part)
		}
	}
	if strings.Count(text, "watchsource: ") != 1 || !strings.HasPrefix(text, "watchsource: start: ") {
		t.Errorf("Start = %q, want one prefix \"watchsource: start: \"", text)
	}
	if len(text) > 480 {
		t.Errorf("Start = %q: %d bytes, want at most 480", text, len(text))
	}
}

func errorAs[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

const role, authority = "Role", "authority"

// watches are the requests that open a watch.
const watches = watchtest.Watch | watchtest.StreamingList

func dial(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

// refusal answers with the status Forbidden of an API server.
func refusal(message string) http.HandlerFunc {
	const status = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":%q}`
	return answer(403, "application/json", fmt.Sprintf(status, message))
}

// serverErrors are the cases of TestStartErrorsOfServers.
var serverErrors = []struct {
	name   string
	config func(t *testing.T) *rest.Config
	want   startError
}{
	{name: "an expired certificate", config: tlsServer(expiredCertificate), want: startError{
		is:   errorAs[x509.CertificateInvalidError],
		says: []string{"certificate has expired", "renew the API server's certificate", "clock"}, not: []string{authority},
	}},
	{name: "a certificate that is not yet valid", config: tlsServer(futureCertificate), want: startError{
		is:   errorAs[x509.CertificateInvalidError],
		says: []string{"not yet valid", "set the clock of this machine"}, not: []string{authority, "renew"},
	}},
	{name: "an expired authority", config: tlsServer(expiredAuthority), want: startError{
		is:   errorAs[x509.CertificateInvalidError],
		says: []string{"renew the certificate authority"}, not: []string{"inspects"},
	}},
	{name: "another authority", config: tlsServer(otherAuthority), want: startError{
		is:   errorAs[x509.UnknownAuthorityError],
		says: []string{"check the certificate authority of the client's configuration"}, not: []string{"host name", "clock"},
	}},
	{name: "a certificate for another name", config: tlsServer(otherName), want: startError{
		is:   errorAs[x509.HostnameError],
		says: []string{"check the host name in the API server's address", "ServerName"}, not: []string{authority, "clock"},
	}},
	{name: "a client certificate is required", config: tlsServer(clientCertificateRequired), want: startError{
		is: errorAs[*net.OpError], says: []string{"refuses the client certificate"}, not: []string{authority},
	}},
	{name: "http to a TLS port", config: httpToTLS, want: startError{
		is: apierrors.IsBadRequest, says: []string{"Client sent an HTTP request to an HTTPS server", "with https"},
	}},
	{name: "http to a TLS port of nginx", config: plainServer(answer(400, "text/html",
		"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>")), want: startError{
		is: apierrors.IsBadRequest, says: []string{"plain HTTP request was sent to HTTPS port", "with https"},
	}},
	{name: "an API server that has lost its etcd", config: plainServer(answer(504, "text/plain; charset=utf-8",
		`{"metadata":{},"status":"Failure","message":"Timeout: request did not complete within requested timeout","reason":"Timeout","code":504}`)),
		want: startError{
			is: apierrors.IsTimeout, says: []string{
				"Timeout: request did not complete within requested timeout",
			}, not: []string{"load balancer", "{"},
		}},
	{name: "http to a TLS port of another server", config: rawServer("\x15\x03\x03\x00\x02\x02\x46"), want: startError{
		is: errorAs[*url.Error], says: []string{"malformed HTTP response", "http or https"},
	}},
	{name: "https to a plain port", config: httpsToPlain, want: startError{
		is: errorIs(http.ErrSchemeMismatch), says: []string{"server gave HTTP response to HTTPS client", "with http"}, not: []string{authority},
	}},
	{name: "no API server at the address", config: plainServer(http.NotFound), want: startError{
		is: apierrors.IsNotFound, says: []string{
			`list pods in namespace "jobs"`, "404", "no API server answers at this address and path",
		}, not: []string{role},
	}},
	{name: "a wrong path of an API server", config: plainServer(refusal(`forbidden: User "system:anonymous" cannot get path "/wrong"`)),
		want: startError{
			is: apierrors.IsForbidden, says: []string{"cannot get path", "no API server answers at this address and path"}, not: []string{role},
		}},
	{name: "no credentials", config: plainServer(refusal(
		`pods is forbidden: User "system:anonymous" cannot watch resource "pods" in API group "" in the namespace "jobs"`)), want: startError{
		is: apierrors.IsForbidden, says: []string{
			"system:anonymous", "no credentials arrived", "a token or a client certificate",
		}, not: []string{role},
	}},
	{name: "a sign-in page with 200", config: plainServer(answer(200, "text/html; charset=utf-8", signInPage)), want: startError{
		says: []string{"unexpected response from the API server", "text/html", "a web page", "sign-in"}, not: []string{"serializer"},
	}},
	{name: "a sign-in page after a redirect", config: plainServer(redirectToSignIn), want: startError{
		says: []string{"unexpected response from the API server", "text/html", "a web page", "sign-in"},
	}},
	{name: "redirects without an end", config: plainServer(redirectForEver), want: startError{
		is: errorAs[*url.Error], says: []string{"stopped after 10 redirects", "sign-in"},
	}},
	{name: "a sign-in page with 403", config: plainServer(answer(403, "text/html", signInPage)), want: startError{
		is: apierrors.IsForbidden, says: []string{"403 Forbidden", `"Sign in"`, "not from Kubernetes", "proxy or gateway"}, not: []string{role},
	}},
	{name: "a service mesh", config: plainServer(answer(403, "text/plain", "RBAC: access denied")), want: startError{
		is: apierrors.IsForbidden, says: []string{"RBAC: access denied", "not from Kubernetes", "proxy or gateway"}, not: []string{role},
	}},
	{name: "a gateway that speaks JSON", config: plainServer(answer(403, "application/json", `{"error":"no"}`)), want: startError{
		is: apierrors.IsForbidden, says: []string{"403 Forbidden", "not from Kubernetes"}, not: []string{role},
	}},
	{name: "a proxy that wants credentials", config: throughProxy(407), want: startError{
		is: errorAs[*url.Error], says: []string{"Proxy Authentication Required", "HTTPS_PROXY"},
	}},
}

// Start names the cause that a real server, certificate or address has, and the remedy.
func TestStartErrorsOfServers(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		for _, test := range serverErrors {
			for kind, client := range map[string]func(*rest.Config) kubernetes.Interface{
				"own decoder": func(c *rest.Config) kubernetes.Interface { return clientFor(t, c) },
				"client-go's decoder": func(c *rest.Config) kubernetes.Interface {
					c.ContentType = "application/json"
					return clientFor(t, c)
				},
				"client of the user": func(c *rest.Config) kubernetes.Interface { return wrappedClient{clientFor(t, c)} },
			} {
				t.Run(test.name+"/"+kind, func(t *testing.T) {
					source := newSource(watchsource.NewStore(), client(test.config(t)), watchsource.WithNamespace("jobs"))
					test.want.check(t, source.Start("app"))
				})
			}
		}
	})
}

// client-go writes the URL of a watch into the text of an error that is not a url.Error.
func TestStartErrorWithoutURL(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		config := plainServer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })(t)
		config.ContentType = "application/json" // client-go opens the watch
		err := newSource(watchsource.NewStore(), clientFor(t, config)).Start("app")
		startError{says: []string{"watch pods in all namespaces: got status: 204"}}.check(t, err)
	})
}

// connectionErrors are the cases of TestStartErrorsOfConnections.
var connectionErrors = []struct {
	name  string
	fault watchtest.Fault
	// breaks, if not nil, returns the error of the connection in place of a fault.
	breaks func(*testing.T) error
	want   startError
}{
	{name: "refused", fault: watchtest.Fault{Do: watchtest.Refuse()}, want: startError{
		is: errorIs(syscall.ECONNREFUSED), says: []string{"nothing listens there: check the address of the API server"}, not: []string{"PROXY"},
	}},
	{name: "a proxy that is down", breaks: throughDeadProxy, want: startError{
		is: errorIs(syscall.ECONNREFUSED), says: []string{
			"proxyconnect", "the proxy", "HTTPS_PROXY", "rest.Config.Proxy",
		}, not: []string{"address of the API server"},
	}},
	{name: "no route", fault: watchtest.Fault{Do: watchtest.Break(dial(syscall.EHOSTUNREACH))}, want: startError{
		is: errorIs(syscall.EHOSTUNREACH), says: []string{"check the address of the API server and the network"},
	}},
	{name: "a dial without an answer", fault: watchtest.Fault{Do: watchtest.Break(dial(context.DeadlineExceeded))}, want: startError{
		is: errorAs[net.Error], says: []string{"check the address of the API server and the network"},
	}},
	{name: "an unknown host", fault: watchtest.Fault{Do: watchtest.Break(dial(&net.DNSError{
		Err: "no such host", Name: "api.example", Server: "10.96.0.10:53", IsNotFound: true,
	}))}, want: startError{
		is: errorAs[*net.DNSError], says: []string{"lookup api.example", "no such host", "check the host name", "DNS"},
	}},
	{name: "reset", fault: watchtest.Fault{Do: watchtest.Reset()}, want: startError{
		is: errorIs(syscall.ECONNRESET), says: []string{"connection reset", "proxy, load balancer or firewall", "drops"},
	}},
	{name: "closed", fault: watchtest.Fault{Do: watchtest.Break(io.EOF)}, want: startError{
		is: errorIs(io.EOF), says: []string{"EOF", "proxy, load balancer or firewall", "drops"},
	}},
	{name: "no answer", fault: watchtest.Fault{Do: watchtest.Hang()}, want: startError{
		is: isTimeout, says: []string{"no complete view within 30s"}, not: []string{"proxy_http_version"},
	}},
	{name: "lists and no watches", fault: watchtest.Fault{On: watches, Do: watchtest.Hang()}, want: startError{
		is: isTimeout,
		says: []string{
			"no complete view within 30s", `watch pods in namespace "jobs"`, "lists are answered and watches are not",
			"proxy_http_version 1.1",
		},
		not: []string{"check its address"},
	}},
	{name: "lists, and watches that break", fault: watchtest.Fault{On: watches, Do: watchtest.Break(io.EOF)}, want: startError{
		is: errorIs(io.EOF), says: []string{`watch pods in namespace "jobs"`, "EOF"},
	}},
	{name: "a sign-in page with 401", fault: watchtest.Fault{Do: watchtest.Answer(page(401))}, want: startError{
		is: apierrors.IsUnauthorized, says: []string{"401 Unauthorized", "not from Kubernetes", "proxy or gateway"}, not: []string{"token"},
	}},
	{name: "a load balancer without a server", fault: watchtest.Fault{
		Do: watchtest.Answer(textAnswer(503, "no healthy upstream")),
	}, want: startError{
		is: isTimeout, says: []string{`503 Service Unavailable ("no healthy upstream")`, "does not reach the API server"},
	}},
	{name: "an API server that is overloaded", fault: watchtest.Fault{
		Do: watchtest.Answer(textAnswer(429, "Too many requests, please try again later.")),
	}, want: startError{
		is: apierrors.IsTooManyRequests, says: []string{
			`429 Too Many Requests ("Too many requests, please try again later.")`,
		}, not: []string{"gateway", "reach"},
	}},
	{name: "a gateway that does not reach the server", fault: watchtest.Fault{Do: watchtest.Answer(page(502))}, want: startError{
		is: apierrors.IsInternalError, says: []string{"502 Bad Gateway", "does not reach the API server"}, not: []string{"html"},
	}},
}

// Start names the cause of a connection that fails, and the remedy.
func TestStartErrorsOfConnections(t *testing.T) {
	for _, test := range connectionErrors {
		if test.breaks != nil {
			test.fault.Do = watchtest.Break(test.breaks(t))
		}
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			server.Inject(test.fault)
			source := newSource(watchsource.NewStore(), server.Client(), watchsource.WithNamespace("jobs"))
			test.want.check(t, source.Start("app"))
		})
	}
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && apierrors.IsTimeout(err)
}

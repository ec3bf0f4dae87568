// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/executorpods/watchsource/internal/failure"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clientrest "k8s.io/client-go/rest"
)

// requestError returns the error of a list by an API server at an address, as a source reports it.
func requestError(t *testing.T, config *clientrest.Config) error {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Pods(testSpace).List(t.Context(), metav1.ListOptions{})
	if err == nil {
		t.Fatal("the API server answers, want an error")
	}
	return fmt.Errorf("watchsource: %w", &failure.RequestError{Kind: failure.ListPods, Namespace: testSpace, Err: err})
}

// answering returns the error of a list that an API server answers with a code and a body.
func answering(t *testing.T, code int, mediaType, body string) error {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return requestError(t, &clientrest.Config{Host: server.URL})
}

func refusing(t *testing.T, code int, reason, message string) error {
	t.Helper()
	return answering(t, code, "application/json", fmt.Sprintf(
		`{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"reason":%q,"code":%d}`, message, reason, code))
}

// The cause comes first: the API server's own message, or the innermost error with the address.
func TestTroubleOf(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	plain.Close()
	address := plain.Listener.Addr().String()
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	const forbidden = `pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "jobs"`
	for _, row := range []struct {
		name  string
		err   error
		begin string
		says  string
	}{
		{"refused", requestError(t, &clientrest.Config{Host: "https://" + address}), "connection refused (" + address + ");", "nothing listens there"},
		{"no such host", requestError(t, &clientrest.Config{Host: "https://no-such-host.invalid:6443"}), "", "no-such-host.invalid; check the host name"},
		{"unknown authority", requestError(t, &clientrest.Config{Host: tls.URL}), "x509: certificate signed by unknown authority;", "check the certificate authority"},
		{"TLS expected", requestError(t, &clientrest.Config{Host: strings.Replace(tls.URL, "https", "http", 1)}), "", "https"},
		{"unauthorized", refusing(t, 401, "Unauthorized", "Unauthorized"), "Unauthorized;", "check the token"},
		{"forbidden", refusing(t, 403, "Forbidden", forbidden), forbidden + ";", "grant the verbs"},
		{"not found", refusing(t, 404, "NotFound", "the server could not find the requested resource"), "the server could not find the requested resource;", "check both"},
		{"gateway", answering(t, 502, "text/html", "<html><title>502 Bad Gateway</title></html>"), "502 Bad Gateway;", "load balancer"},
		{"sign-in page", answering(t, 200, "text/html", "<html><title>Sign in</title></html>"), "unexpected response from the API server: text/html instead of pods;", "sign-in"},
		{"broken watch", fmt.Errorf("watchsource: %w", io.ErrUnexpectedEOF), "the connection broke: unexpected EOF;", "firewall drops the connection"},
		{"broken watch of a namespace", fmt.Errorf("watchsource: %w", fmt.Errorf("namespace \"a\": %w", io.ErrUnexpectedEOF)), "the connection broke: unexpected EOF;", "firewall"},
		{"GOAWAY", fmt.Errorf("watchsource: %w", errors.New("http2: server sent GOAWAY and closed the connection")), "the connection broke: http2: server sent GOAWAY", "restarts"},
		{"silent", fmt.Errorf("watchsource: %w", &failure.RequestError{Kind: failure.WatchPods, Namespace: "a", Err: failure.ErrStalled}), "the watch went silent", ""},
		{"URL", fmt.Errorf("watchsource: %w", &url.Error{Op: "Get", URL: "https://a/api/v1/pods?watch=true", Err: errors.New("getting credentials: exec: executable aws failed")}), "getting credentials: exec: executable aws failed", ""},
		{"reset", fmt.Errorf("watchsource: %w", &url.Error{Op: "Get", URL: "https://a/", Err: syscall.ECONNRESET}), "the connection broke: connection reset by peer;", "firewall"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := troubleOf(row.err).String()
			if !strings.HasPrefix(got, row.begin) || !strings.Contains(got, row.says) {
				t.Errorf("got %q\nfor %q\nwant the begin %q, and %q in it", got, row.err, row.begin, row.says)
			}
			if regexp.MustCompile(`watchsource|https?://|/api/v1|` + testSpace + `": `).MatchString(got) {
				t.Errorf("got %q, want no prefix, request or URL", got)
			}
		})
	}
}

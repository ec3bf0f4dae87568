// SPDX-License-Identifier: Apache-2.0

package failure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const (
	noServerHint  = "no API server answers at this address and path: check both in the client's configuration"
	pageHint      = "a web page or another service answers there: check the address, and the sign-in of a proxy in front of the API server"
	gatewayHint   = "this is not from Kubernetes: check the proxy or gateway in front of the API server, and what it lets through"
	backendHint   = "a proxy or load balancer answers and does not reach the API server: check the server behind it"
	proxyHint     = "check the proxy of the client, which HTTPS_PROXY or rest.Config.Proxy names"
	networkHint   = "check the address of the API server and the network"
	droppedHint   = "check whether a proxy, load balancer or firewall drops the connection, or whether the API server restarts"
	useHTTPSHint  = "the server speaks TLS: write its address with https"
	useHTTPHint   = "the server does not speak TLS there: check its port, or write its address with http"
	schemeHint    = "the server does not speak plain HTTP there: check its port, and whether the address begins with http or https"
	noWatchesHint = "lists are answered and watches are not: a proxy does not pass watches on, or buffers them; for nginx set proxy_http_version 1.1 and proxy_buffering off"
)

// hint says what to do about the error of a request in a namespace, "" if its text says all.
// listed is set if the server has answered a list just before a watch.
func hint(err error, namespace string, listed bool) string {
	if _, foreign := foreignType(err); foreign {
		return pageHint
	}
	if StatusCode(err) != 0 {
		return refusalHint(err, namespace)
	}
	if listed && errors.Is(err, ErrNoAnswer) {
		return noWatchesHint
	}
	for _, hint := range []func(error) string{proxyHintFor, tlsHint, protocolHint, networkHintFor} {
		if text := hint(err); text != "" {
			return text
		}
	}
	return ""
}

// refusalHint says what to do about an answer with an error code.
func refusalHint(err error, namespace string) string {
	body, foreign := foreignBody(err)
	code := StatusCode(err)
	switch {
	case strings.Contains(body, "HTTP request to an HTTPS server"), strings.Contains(body, "HTTP request was sent to HTTPS port"):
		return useHTTPSHint
	case code == http.StatusNotFound, code == http.StatusForbidden && concernsPath(err):
		return noServerHint
	case code == http.StatusProxyAuthRequired:
		return proxyHint
	case foreign && (code == http.StatusForbidden || code == http.StatusUnauthorized):
		return gatewayHint
	case ByGateway(err), foreign && code == http.StatusServiceUnavailable:
		return backendHint
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), `User "system:anonymous"`):
		return "no credentials arrived: check that the client's configuration has a token or a client certificate, and that no proxy removes it"
	case apierrors.IsForbidden(err) && namespace == metav1.NamespaceAll:
		return "grant the verbs list and watch on the resource pods with a ClusterRole, or name the namespaces with WithNamespaces"
	case apierrors.IsForbidden(err):
		return "grant the verbs list and watch on the resource pods with a Role in " + where(namespace)
	case apierrors.IsUnauthorized(err):
		return "check the token or the client certificate, and whether it has expired"
	default:
		return ""
	}
}

// where names a namespace, or all.
func where(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return "all namespaces"
	}
	return fmt.Sprintf("namespace %q", namespace)
}

// concernsPath reports whether Kubernetes' authorizer saw a path that is not a resource.
func concernsPath(err error) bool { return strings.Contains(err.Error(), " cannot get path ") }

// proxyHintFor recognises a proxy of the client that is down or refuses to connect.
func proxyHintFor(err error) string {
	if failed, ok := errors.AsType[*net.OpError](err); ok && (failed.Op == "proxyconnect" || strings.HasPrefix(failed.Op, "socks")) {
		return proxyHint
	}
	// net/http returns the words of the proxy's status.
	if failed, ok := errors.AsType[*url.Error](err); ok && failed.Err != nil && isStatusText(failed.Err.Error()) {
		return proxyHint
	}
	return ""
}

func isStatusText(text string) bool {
	for code := http.StatusBadRequest; code < 600; code++ {
		if text != "" && text == http.StatusText(code) {
			return true
		}
	}
	return false
}

// tlsHint recognises certificates that one side does not accept.
func tlsHint(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return invalidCertificateHint(invalid)
	}
	if errorIsA[x509.UnknownAuthorityError](err) {
		return "check the certificate authority of the client's configuration; a proxy that inspects TLS has an authority of its own"
	}
	if errorIsA[x509.HostnameError](err) {
		return "check the host name in the API server's address, or set ServerName in the TLS configuration to a name that is in the certificate"
	}
	// The type of the alerts of crypto/tls is not exported.
	if text := err.Error(); strings.Contains(text, "remote error: tls: ") && strings.Contains(text, "certificate") {
		return "the server refuses the client certificate: check that the client's configuration has one, that it has not expired, and who signed it"
	}
	return ""
}

func errorIsA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func invalidCertificateHint(invalid x509.CertificateInvalidError) string {
	switch {
	case invalid.Reason != x509.Expired:
		return "check the API server's certificate"
	case invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore):
		return "set the clock of this machine, or issue the certificate with an earlier begin"
	case invalid.Cert != nil && invalid.Cert.IsCA:
		return "renew the certificate authority, or set the clock of this machine"
	default:
		return "renew the API server's certificate, or set the clock of this machine"
	}
}

// protocolHint recognises a server that speaks another protocol.
func protocolHint(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, http.ErrSchemeMismatch), errorIsA[tls.RecordHeaderError](err):
		return useHTTPHint
	case strings.Contains(text, "malformed HTTP"):
		return schemeHint
	case strings.Contains(text, "stopped after 10 redirects"):
		return pageHint
	default:
		return ""
	}
}

// networkHintFor recognises a connection that was not made, or ended before the answer.
func networkHintFor(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check the address of the API server"
	case errorIsA[*net.DNSError](err):
		return "check the host name in the API server's address, and the DNS of this machine"
	case ConnectionBroke(err):
		return droppedHint
	case utilnet.IsTimeout(err), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return networkHint
	default:
		return ""
	}
}

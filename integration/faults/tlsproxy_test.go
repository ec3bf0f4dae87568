// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

// A tlsProxy is a proxy at which the client's TLS and HTTP/2 end, as at many a
// load balancer and mesh. It answers the client's pings itself, whatever has
// become of what lies behind it, which it does not ping.
type tlsProxy struct {
	server    *httptest.Server
	authority []byte
	idle      atomic.Int64 // nanoseconds after which a silent stream is ended, 0 for none

	mu      sync.Mutex
	answers map[*answer]struct{}
}

func newTLSProxy(t *testing.T, config *rest.Config) *tlsProxy {
	t.Helper()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	// The proxy passes on the clients' tokens and has no rights itself.
	trust, err := rest.TLSConfigFor(rest.AnonymousClientConfig(config))
	if err != nil {
		t.Fatal(err)
	}
	onward := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	p := &tlsProxy{authority: certificate, answers: map[*answer]struct{}{}}
	p.server = httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      onward,
		FlushInterval:  -1,
		ModifyResponse: p.keep,
		ErrorLog:       log.New(io.Discard, "", 0),
	})
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	p.server.EnableHTTP2 = true
	p.server.StartTLS()
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
		onward.CloseIdleConnections()
	})
	return p
}

// through returns a copy of config that goes through the proxy.
func (p *tlsProxy) through(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Host = p.server.URL
	config.CAFile, config.CAData = "", p.authority
	return config
}

// freeze stops all answers in progress, including their ends. Later requests are answered
// normally.
func (p *tlsProxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range p.answers {
		a.frozen.Store(true)
	}
}

func (p *tlsProxy) keep(response *http.Response) error {
	a := &answer{ReadCloser: response.Body, proxy: p, asked: response.Request}
	if idle := time.Duration(p.idle.Load()); idle > 0 {
		a.cut(idle)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[a] = struct{}{}
	response.Body = a
	return nil
}

// An answer is the body of a response on its way through the proxy.
type answer struct {
	io.ReadCloser
	proxy  *tlsProxy
	asked  *http.Request
	frozen atomic.Bool

	timer *time.Timer // ends the answer, nil if nothing does
	idle  time.Duration
	ended atomic.Bool
}

// cut ends the answer in good order when it has been silent for idle.
func (a *answer) cut(idle time.Duration) {
	a.idle = idle
	a.timer = time.AfterFunc(idle, func() {
		a.ended.Store(true)
		a.ReadCloser.Close()
	})
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if a.timer != nil && err == nil {
		a.timer.Reset(a.idle)
	}
	if a.ended.Load() {
		return n, io.EOF
	}
	for a.frozen.Load() {
		if err != nil {
			<-a.asked.Context().Done() // the client has given up
			return 0, a.asked.Context().Err()
		}
		_, err = a.ReadCloser.Read(p)
	}
	return n, err
}

func (a *answer) Close() error {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.proxy.mu.Lock()
	delete(a.proxy.answers, a)
	a.proxy.mu.Unlock()
	return a.ReadCloser.Close()
}

// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
)

// A proxy carries connections to the API server until it is cut. It does not
// look into them, so the server's certificate stays valid.
type proxy struct {
	address string

	mu       sync.Mutex
	server   string
	listener net.Listener // nil while cut
	conns    map[net.Conn]*flow
	carrying sync.WaitGroup
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	return newProxyTo(t, server.Config().Host)
}

func newProxyTo(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{address: "127.0.0.1:0", conns: map[net.Conn]*flow{}}
	p.lead(t, target)
	p.mend(t)
	t.Cleanup(p.cut)
	return p
}

// through returns a copy of config that goes through the proxy.
func (p *proxy) through(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Host = "https://" + p.address
	return config
}

// mend listens, at the same address as ever.
func (p *proxy) mend(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.listener, p.address = listener, listener.Addr().String()
	p.mu.Unlock()
	p.carrying.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.carrying.Go(func() { p.carry(conn) })
		}
	})
}

// cut ends all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.carrying.Wait()
}

// drop ends all connections; new ones are welcome.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
}

// lose lets the connections that there are stay open, and carries nothing over
// them any more, as when a firewall has forgotten them.
func (p *proxy) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.conns {
		f.lost.Store(true)
	}
}

func (p *proxy) carry(from net.Conn) {
	to, err := net.Dial("tcp", p.leadsTo())
	if err != nil {
		from.Close()
		return
	}
	var f flow
	if !p.keep(&f, from, to) {
		return
	}
	defer p.forget(from, to)
	var copying sync.WaitGroup
	copying.Go(func() { f.copy(from, to) })
	f.copy(to, from)
	copying.Wait()
}

// lead lets new connections lead to the server with this URL.
func (p *proxy) lead(t *testing.T, target string) {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = to.Host
}

func (p *proxy) leadsTo() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

// A flow is what goes through a pair of connections.
type flow struct{ lost atomic.Bool }

func (f *flow) copy(to, from net.Conn) {
	_, _ = io.Copy(flowWriter{f, to}, from)
	to.Close() // ends the other direction as well
	from.Close()
}

type flowWriter struct {
	flow *flow
	to   io.Writer
}

func (w flowWriter) Write(p []byte) (int, error) {
	if w.flow.lost.Load() {
		return len(p), nil
	}
	return w.to.Write(p)
}

func (p *proxy) keep(f *flow, conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.listener == nil {
			conn.Close()
			continue
		}
		p.conns[conn] = f
	}
	return p.listener != nil
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
	}
}

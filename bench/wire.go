// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// A wire counts what a consumer's connections carry, and can end its first watches. A streaming
// list goes on as a watch, which kube-apiserver compresses since 1.37. The watch after it, from a
// resource version, is not compressed.
type wire struct {
	read, written atomic.Int64 // bytes, below TLS

	mu      sync.Mutex // guards the following
	first   []*firstBody
	resumed int           // answered watches after the first ones
	changed chan struct{} // closed when resumed grows
}

// newWire prepares config for all clients made with it.
func newWire(config *rest.Config) *wire {
	w := &wire{changed: make(chan struct{})}
	dialer := new(net.Dialer)
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{conn, w}, nil
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &wireTripper{next, w} })
	return w
}

type countedConn struct {
	net.Conn
	wire *wire
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.read.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wire.written.Add(int64(n))
	return n, err
}

type wireTripper struct {
	next http.RoundTripper
	wire *wire
}

func (t *wireTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	query := request.URL.Query()
	if err != nil || response.StatusCode != http.StatusOK || query.Get("watch") == "" {
		return response, err
	}
	t.wire.mu.Lock()
	defer t.wire.mu.Unlock()
	if query.Get("sendInitialEvents") != "" {
		body := &firstBody{ReadCloser: response.Body}
		response.Body = body
		t.wire.first = append(t.wire.first, body)
		return response, nil
	}
	t.wire.resumed++
	close(t.wire.changed)
	t.wire.changed = make(chan struct{})
	return response, nil
}

// WrappedRoundTripper lets apimachinery find the connections.
func (t *wireTripper) WrappedRoundTripper() http.RoundTripper { return t.next }

// firstBody is the body of a streaming list. It ends in good order once ended is set.
type firstBody struct {
	io.ReadCloser
	ended atomic.Bool
}

func (b *firstBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.ended.Load() {
		err = io.EOF
	}
	return n, err
}

// shortWatch is the age at which an informer lists again after a watch in which nothing came.
const shortWatch = time.Second

// resume ends the first watches, and returns when that many are resumed.
func (w *wire) resume(ctx context.Context, watches int) error {
	time.Sleep(shortWatch + time.Second/2)
	w.mu.Lock()
	for _, body := range w.first {
		body.ended.Store(true)
		go body.Close()
	}
	w.mu.Unlock()
	for {
		w.mu.Lock()
		resumed, changed := w.resumed, w.changed
		w.mu.Unlock()
		if resumed >= watches {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

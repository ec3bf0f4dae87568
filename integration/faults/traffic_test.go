// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// traffic is what one client has asked of the API server.
type traffic struct {
	lists    atomic.Int64 // asked for, streaming lists and each page of others
	answered atomic.Int64 // of these
	gone     atomic.Int64 // answers that said that a version is gone
	hangUp   func()       // closes connections that are idle
}

// apart returns a copy of config whose client has separate connections: for a config with
// a Dial client-go does not share a transport.
func apart(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Dial = new(net.Dialer).DialContext
	return config
}

// newClient returns a client with separate connections, which are closed after the test,
// and their traffic.
func newClient(t *testing.T, config *rest.Config) (kubernetes.Interface, *traffic) {
	t.Helper()
	config = apart(config)
	seen := &traffic{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &counter{next, seen} })
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	seen.hangUp = func() { utilnet.CloseIdleConnectionsFor(transport.Transport) }
	t.Cleanup(seen.hangUp)
	client, err := kubernetes.NewForConfigAndClient(config, transport)
	if err != nil {
		t.Fatal(err)
	}
	return client, seen
}

type counter struct {
	next http.RoundTripper
	seen *traffic
}

func (c *counter) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	// A look at the server's version is a list of one name, and does not count.
	list := request.Method == http.MethodGet && (!query.Has("watch") || query.Has("sendInitialEvents")) && !query.Has("fieldSelector")
	if list {
		c.seen.lists.Add(1)
	}
	response, err := c.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if list && response.StatusCode == http.StatusOK {
		c.seen.answered.Add(1)
	}
	response.Body = &goneReader{ReadCloser: response.Body, seen: c.seen}
	return response, nil
}

// WrappedRoundTripper lets apimachinery find the connections.
func (c *counter) WrappedRoundTripper() http.RoundTripper { return c.next }

// goneWords are in what kube-apiserver says of a version that it has forgotten,
// in the text of a message, which looks the same in every media type.
var goneWords = []byte("too old")

// goneReader looks for goneWords in what passes.
type goneReader struct {
	io.ReadCloser
	seen  *traffic
	tail  []byte // the last bytes read, for words that are cut in two
	found bool
}

func (r *goneReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.found {
		return n, err
	}
	text := append(r.tail, p[:n]...)
	if bytes.Contains(text, goneWords) {
		r.found = true
		r.seen.gone.Add(1)
	}
	r.tail = append(r.tail[:0], text[max(0, len(text)-len(goneWords)+1):]...)
	return n, err
}

// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// newClient returns a client with its own connections, which the end of the
// test closes.
func newClient(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	opened := &connections{}
	t.Cleanup(opened.close)
	config = rest.CopyConfig(config)
	config.Dial = opened.dial // client-go shares no transport that has a Dial
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// connections are those that one client has opened. Closing a transport's idle
// connections would not be enough: a dial that outlives its request adds one
// later, and a connection whose request was just cancelled may not be idle yet.
type connections struct {
	mu sync.Mutex

	// Guarded by mu.
	open   []net.Conn
	closed bool
}

func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	c.open = append(c.open, conn)
	return conn, nil
}

// close closes all connections, and each that is dialled from now on.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.open {
		conn.Close()
	}
}

// admin returns a client that may do everything.
func admin(t *testing.T) kubernetes.Interface {
	t.Helper()
	return newClient(t, server.Config())
}

// speaking returns a copy of config whose client speaks a media type.
func speaking(config *rest.Config, contentType string) *rest.Config {
	config = rest.CopyConfig(config)
	config.AcceptContentTypes = contentType
	config.ContentType = contentType
	return config
}

// altered returns a copy of config whose requests go through do.
func altered(config *rest.Config, do func(next http.RoundTripper, request *http.Request) (*http.Response, error)) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &roundTripper{next, do}
	})
	return config
}

type roundTripper struct {
	next http.RoundTripper
	do   func(next http.RoundTripper, request *http.Request) (*http.Response, error)
}

func (r *roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	return r.do(r.next, request)
}

// WrappedRoundTripper lets apimachinery find the connections.
func (r *roundTripper) WrappedRoundTripper() http.RoundTripper { return r.next }

// refusingStreamedLists answers a streaming list like a server that does not
// know it, and lets everything else through.
func refusingStreamedLists(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("sendInitialEvents") == "" {
		return next.RoundTrip(request)
	}
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure,
		Reason:   metav1.StatusReasonInvalid,
		Code:     http.StatusUnprocessableEntity,
		Message:  `ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled`,
	}
	return answer(request, status)
}

const (
	asJSON     = runtime.ContentTypeJSON
	asProtobuf = runtime.ContentTypeProtobuf
)

// answer returns a response with a status, in place of the API server's.
func answer(request *http.Request, status metav1.Status) (*http.Response, error) {
	body, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status:     http.StatusText(int(status.Code)),
		StatusCode: int(status.Code),
		Proto:      "HTTP/2.0",
		ProtoMajor: 2,
		Header:     http.Header{"Content-Type": {asJSON}},
		Body:       io.NopCloser(bytes.NewReader(body)),
		Request:    request,
	}, nil
}

// shortWatches asks the server to end each watch after two seconds, whatever
// the client wants.
func shortWatches(config *rest.Config) *rest.Config {
	return altered(config, func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
		if query := request.URL.Query(); query.Has("watch") {
			request = request.Clone(request.Context())
			query.Set("timeoutSeconds", "2")
			request.URL.RawQuery = query.Encode()
		}
		return next.RoundTrip(request)
	})
}

// refusingResumes answers like a server that has forgotten the past. The watch that follows a list is no
// resume: a server without streaming lists has to be asked for one.
func refusingResumes() func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	var listed atomic.Bool
	return func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
		query := request.URL.Query()
		if !query.Has("watch") {
			listed.Store(true)
			return next.RoundTrip(request)
		}
		if query.Has("sendInitialEvents") || listed.Swap(false) {
			return next.RoundTrip(request)
		}
		return answer(request, metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
			Status:   metav1.StatusFailure,
			Reason:   metav1.StatusReasonExpired,
			Code:     http.StatusGone,
			Message:  "too old resource version: 1 (2)",
		})
	}
}

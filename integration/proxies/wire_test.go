// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// A wire records the watches of one client, seen from its transport.
type wire struct {
	mu      sync.Mutex
	begin   time.Time
	watches []*exchange
}

// An exchange is one watch on the wire. Its times are from the request.
type exchange struct {
	wire     *wire
	at       time.Duration // of the request, from the first one
	asked    time.Duration // after which the server was asked to end it
	began    time.Time
	head     time.Duration // until the head of the answer, 0 for none
	first    time.Duration // until the first byte of the body, 0 for none
	age      time.Duration // at the end, 0 while it is open
	err      error
	ended    bool // by the other side
	answered int  // the HTTP status
}

// tap returns a copy of config whose watches the wire records. Its client shares no connection
// with another one.
func (w *wire) tap(t *testing.T, config *rest.Config) *rest.Config {
	var mu sync.Mutex
	var open []net.Conn
	config = rest.CopyConfig(config)
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
		}
		return conn, err
	}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range open {
			conn.Close()
		}
	})
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &tapped{w, next} })
	return config
}

type tapped struct {
	wire *wire
	next http.RoundTripper
}

// WrappedRoundTripper lets apimachinery find the connections.
func (r *tapped) WrappedRoundTripper() http.RoundTripper { return r.next }

func (r *tapped) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	if !query.Has("watch") {
		return r.next.RoundTrip(request)
	}
	seconds, _ := strconv.Atoi(query.Get("timeoutSeconds"))
	e := r.wire.open(time.Duration(seconds) * time.Second)
	response, err := r.next.RoundTrip(request)
	if err != nil {
		e.end(err, request.Context().Err() == nil)
		return response, err
	}
	e.answer(response.StatusCode)
	response.Body = &tappedBody{ReadCloser: response.Body, exchange: e, asker: request.Context()}
	return response, nil
}

type tappedBody struct {
	io.ReadCloser
	exchange *exchange
	asker    context.Context
}

func (b *tappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.exchange.read()
	}
	if err != nil {
		b.exchange.end(err, b.asker.Err() == nil)
	}
	return n, err
}

func (b *tappedBody) Close() error {
	b.exchange.end(nil, false)
	return b.ReadCloser.Close()
}

func (w *wire) open(asked time.Duration) *exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &exchange{wire: w, asked: asked, began: time.Now()}
	if len(w.watches) == 0 {
		w.begin = e.began
	}
	e.at = e.began.Sub(w.begin)
	w.watches = append(w.watches, e)
	return e
}

func (e *exchange) answer(status int) {
	e.wire.mu.Lock()
	defer e.wire.mu.Unlock()
	e.answered, e.head = status, time.Since(e.began)
}

func (e *exchange) read() {
	e.wire.mu.Lock()
	defer e.wire.mu.Unlock()
	if e.first == 0 {
		e.first = time.Since(e.began)
	}
}

// end notes the end, once.
func (e *exchange) end(err error, other bool) {
	e.wire.mu.Lock()
	defer e.wire.mu.Unlock()
	if e.age == 0 {
		e.age, e.err, e.ended = time.Since(e.began), err, other
	}
}

// cut reports whether the other side has ended the watch with an error, or before it was asked
// to. The server's seconds may end up to one earlier than the client's.
func (e *exchange) cut() bool {
	early := e.age < e.asked-time.Second
	return e.ended && (early || !errors.Is(e.err, io.EOF) || e.answered != http.StatusOK)
}

func (e *exchange) String() string {
	s := fmt.Sprintf("%.1f: asked for %v", e.at.Seconds(), e.asked)
	if e.head != 0 {
		s += fmt.Sprintf(", %d after %.1f", e.answered, e.head.Seconds())
	}
	if e.first != 0 {
		s += fmt.Sprintf(", first byte after %.1f", e.first.Seconds())
	}
	switch {
	case e.age == 0:
		return s + ", open"
	case e.ended:
		return s + fmt.Sprintf(", ended after %.1f: %v", e.age.Seconds(), e.err)
	default:
		return s + fmt.Sprintf(", left after %.1f", e.age.Seconds())
	}
}

// cuts returns the watches that were cut.
func (w *wire) cuts() (cuts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.watches {
		if e.cut() {
			cuts = append(cuts, e.String())
		}
	}
	return cuts
}

func (w *wire) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watches)
}

func (w *wire) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var s strings.Builder
	for _, e := range w.watches {
		fmt.Fprintln(&s, e)
	}
	return s.String()
}

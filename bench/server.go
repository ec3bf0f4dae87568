// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

const (
	podsPath = "/api/v1/namespaces/" + namespace + "/pods"

	// chunkSize is the size of a write if the server need not flush.
	chunkSize = 64 << 10
)

// requests are what the consumers asked for.
type requests struct {
	Lists          int `json:"lists"` // pages
	StreamingLists int `json:"streamingLists"`
	Watches        int `json:"watches"`
}

// A replay is an API server that knows one script. It holds the updates back
// until release is called, so that every consumer has its view complete before.
type replay struct {
	// Fixed after newReplay.
	script    *script
	inJSON    func() *script // the same in JSON
	flushEach bool           // flush after each update, not when a buffer is full
	warmingUp chan struct{}  // closed when the updates to warm up may begin
	released  chan struct{}  // closed when the other updates may begin

	mu       sync.Mutex
	requests requests
	stages   []chan struct{} // those that are still open
}

func newReplay(s *script, flushEach bool) *replay {
	r := &replay{script: s, inJSON: sync.OnceValue(s.inJSON), flushEach: flushEach, warmingUp: make(chan struct{}), released: make(chan struct{})}
	r.stages = []chan struct{}{r.warmingUp, r.released}
	if s.warmUp == 0 {
		r.release()
	}
	return r
}

// release lets the next stage begin: the updates to warm up, if there are any, and then
// the others.
func (r *replay) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.stages) > 0 {
		close(r.stages[0])
		r.stages = r.stages[1:]
	}
}

// seen returns the requests so far.
func (r *replay) seen() any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func (r *replay) count(kind func(*requests)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind(&r.requests)
}

// ServeHTTP answers lists and watches of pods, in protobuf. Watches are in JSON for a
// client that does not accept protobuf.
func (r *replay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.URL.Path != podsPath {
		http.NotFound(w, request)
		return
	}
	if request.Header.Get("Upgrade") != "" {
		// With this answer Spark's client watches over HTTP, without a WebSocket.
		http.Error(w, "there are no WebSockets", http.StatusServiceUnavailable)
		return
	}
	s := r.script
	if !strings.Contains(request.Header.Get("Accept"), protobufMedia) {
		s = r.inJSON()
	}
	query := request.URL.Query()
	selected, err := s.selected(query.Get("labelSelector"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	watching, _ := strconv.ParseBool(query.Get("watch"))
	initial, _ := strconv.ParseBool(query.Get("sendInitialEvents"))
	switch {
	case !watching && s.media != protobufMedia:
		http.Error(w, "lists are in protobuf only", http.StatusNotAcceptable)
	case !watching && s.kind != nil:
		http.Error(w, "lists have executors of Spark only", http.StatusNotAcceptable)
	case !watching:
		r.count(func(q *requests) { q.Lists++ })
		err = r.serveList(w, s.podsOf(selected), query.Get("limit"), query.Get("continue"))
	case initial:
		r.count(func(q *requests) { q.StreamingLists++ })
		err = r.serveWatch(request.Context(), w, s, selected, s.appendInitialEnd)
	case query.Get("resourceVersion") == "":
		r.count(func(q *requests) { q.Watches++ })
		err = r.serveWatch(request.Context(), w, s, selected, func(to []byte) []byte { return to })
	case query.Get("resourceVersion") == podtest.VersionText(s.listVersion()):
		r.count(func(q *requests) { q.Watches++ })
		err = r.serveWatch(request.Context(), w, s, selected, nil)
	default:
		// Only the initial view is a place to watch from. A consumer that comes
		// back during the updates would be measured at something else.
		http.Error(w, "the version is gone", http.StatusGone)
		err = fmt.Errorf("watch from version %q", query.Get("resourceVersion"))
	}
	if err != nil && request.Context().Err() == nil {
		log.Printf("replay: %v", err)
	}
}

// serveList sends a page of some pods.
func (r *replay) serveList(w http.ResponseWriter, pods []int, limit, token string) error {
	s := r.script
	p := page{to: len(pods), of: len(pods)}
	if token != "" {
		from, err := strconv.Atoi(token)
		if err != nil || from < 0 || from > p.of {
			http.Error(w, "bad continue token", http.StatusBadRequest)
			return fmt.Errorf("continue token %q", token)
		}
		p.from = from
	}
	next := ""
	if size, err := strconv.Atoi(limit); err == nil && size > 0 && p.from+size < p.of {
		p.to = p.from + size
		next = strconv.Itoa(p.to)
	}
	w.Header().Set("Content-Type", protobufMedia)
	before, after := s.list(p, next)
	out := newChunks(w)
	out.buffer = append(out.buffer, before...)
	for _, i := range pods[p.from:p.to] {
		out.buffer = s.item.appendPod(out.buffer, i, i+1, s.appOf(i))
		out.spill()
	}
	out.buffer = append(out.buffer, after...)
	return out.flush()
}

// serveWatch sends the pods and updates of the selected applications. It leaves out the pods
// if appendEnd is nil. Otherwise it calls appendEnd after them, for the end of the view.
func (r *replay) serveWatch(ctx context.Context, w http.ResponseWriter, s *script, selected []bool, appendEnd func([]byte) []byte) error {
	w.Header().Set("Content-Type", s.media+";stream=watch")
	out := newChunks(w)
	if appendEnd != nil {
		for _, i := range s.podsOf(selected) {
			out.buffer = s.appendAdded(out.buffer, i)
			out.spill()
		}
		out.buffer = appendEnd(out.buffer)
	}
	if err := out.flush(); err != nil {
		return err
	}
	if !wait(ctx, r.warmingUp) {
		return nil
	}
	for j := range s.updates {
		if j == s.warmUp {
			if s.warmUp > 0 {
				out.buffer = s.appendWarmUpMarker(out.buffer)
			}
			if err := out.flush(); err != nil {
				return err
			}
			if !wait(ctx, r.released) {
				return nil
			}
		}
		if !selected[s.updatedPod(j)%s.apps] {
			continue
		}
		out.buffer = s.appendUpdate(out.buffer, j)
		if r.flushEach {
			if err := out.flush(); err != nil {
				return err
			}
		}
		out.spill()
	}
	for k := range s.apps {
		if selected[k] {
			out.buffer = s.appendMarker(out.buffer, k)
			out.spill()
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	<-ctx.Done() // the stream stays open until the client goes
	return nil
}

// wait reports whether a channel was closed before ctx ended.
func wait(ctx context.Context, closed <-chan struct{}) bool {
	select {
	case <-closed:
		return true
	case <-ctx.Done():
		return false
	}
}

// selected reports which applications a label selector selects. The empty selector selects
// all.
func (s *script) selected(selector string) ([]bool, error) {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return nil, err
	}
	selected := make([]bool, s.apps)
	for k := range selected {
		selected[k] = parsed.Matches(s.labels(k))
	}
	return selected, nil
}

// podsOf returns the pods of the selected applications.
func (s *script) podsOf(selected []bool) (pods []int) {
	for i := range s.pods {
		if selected[i%s.apps] {
			pods = append(pods, i)
		}
	}
	return pods
}

// chunks collects small writes into large ones.
type chunks struct {
	w       http.ResponseWriter
	flusher *http.ResponseController
	buffer  []byte
	err     error // of the first write that failed
}

func newChunks(w http.ResponseWriter) *chunks {
	return &chunks{w: w, flusher: http.NewResponseController(w), buffer: make([]byte, 0, 2*chunkSize)}
}

// spill writes the buffer once it is full.
func (c *chunks) spill() {
	if len(c.buffer) >= chunkSize {
		c.write()
	}
}

func (c *chunks) write() {
	if c.err == nil {
		_, c.err = c.w.Write(c.buffer)
	}
	c.buffer = c.buffer[:0]
}

// flush sends everything to the client.
func (c *chunks) flush() error {
	c.write()
	if c.err == nil {
		c.err = c.flusher.Flush()
	}
	return c.err
}

// listenAndReplay serves on a loopback port until ctx ends, and tells a client
// how to get there.
func listenAndReplay(ctx context.Context, r http.Handler, ready func(host string, authority []byte)) error {
	certificate, authority, err := newCertificate()
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: r, TLSConfig: tlsConfig(certificate), ErrorLog: log.New(io.Discard, "", 0)}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	ready("https://"+listener.Addr().String(), authority)
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A Server is an API server that knows pods and nothing else. It has no
// sockets: it is the transport of its clients.
//
// All methods are safe for concurrent use and do not wait for clients. The server copies the
// pods that it receives and returns.
type Server struct {
	config config // fixed at the start

	mu       sync.Mutex // guards the following; never held while waiting
	store    store
	created  int // pods ever created, for unique names
	requests []Request
	faults   []*injection
	streams  []*Stream // the open ones, oldest first
}

// config is what options set.
type config struct {
	bookmarks        time.Duration
	streamingLists   bool
	expiredAtConnect bool
	history          int
}

// An Option changes what [NewServer] returns.
type Option func(*config)

// WithBookmarkInterval sets the time between two bookmarks of a stream that
// asked for them, one minute by default; 0 is for a server that sends none but
// those that are owed: at the end of the initial events and before a timeout.
func WithBookmarkInterval(interval time.Duration) Option {
	return func(c *config) { c.bookmarks = interval }
}

// WithoutStreamingLists makes the server refuse streaming lists, like a server that does not
// know them.
func WithoutStreamingLists() Option {
	return func(c *config) { c.streamingLists = false }
}

// WithExpiredAtConnect answers a WATCH from a compacted version with HTTP
// status 410. The default is what the watch cache of a real server does: it
// accepts the watch, and says 410 in its first event.
func WithExpiredAtConnect() Option {
	return func(c *config) { c.expiredAtConnect = true }
}

// WithHistory has the server remember the last n changes only and compact what
// is older. By default it remembers all until [Server.Compact].
func WithHistory(n int) Option {
	return func(c *config) { c.history = n }
}

// NewServer returns a server with no pods and no faults.
func NewServer(opts ...Option) *Server {
	c := config{bookmarks: time.Minute, streamingLists: true}
	for _, opt := range opts {
		opt(&c)
	}
	return &Server{config: c, store: newStore(c.history)}
}

// Config returns a client configuration for this server, in protobuf and
// without client-side rate limit. Change it at will, except its Transport.
func (s *Server) Config() *rest.Config {
	return &rest.Config{
		Host:      "http://watchtest.invalid",
		Transport: s,
		QPS:       -1,
		ContentConfig: rest.ContentConfig{
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
			ContentType:        runtime.ContentTypeProtobuf,
		},
	}
}

// Client returns a clientset that talks protobuf with the server.
func (s *Server) Client() kubernetes.Interface {
	return newClient(s.Config())
}

// JSONClient returns a clientset that talks JSON with the server.
func (s *Server) JSONClient() kubernetes.Interface {
	c := s.Config()
	c.AcceptContentTypes, c.ContentType = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	return newClient(c)
}

func newClient(c *rest.Config) kubernetes.Interface {
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		panic(fmt.Sprintf("watchtest: make a client: %v", err))
	}
	return client
}

// ResourceVersion returns the version of the last change.
func (s *Server) ResourceVersion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return versionString(s.store.version)
}

// Advance raises the resource version by n without a change to any pod, as
// writes to other resources do in a real cluster.
func (s *Server) Advance(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.version += uint64(n)
}

// Compact forgets all history: from now on a WATCH from an older version than
// the current one, and a page or an exact LIST of an older one, is answered
// with 410. Open streams go on, as they do in a real server.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.compactTo(s.store.version)
}

// Backup keeps the present state and returns a function that puts it back, any
// number of times. As with a real cluster whose etcd is restored from a backup,
// the pods and the resource version are those of the backup, later versions are
// given again to other changes, no history remains from before, and the
// connections of all streams are reset. A WATCH from a version that the server has not reached yet is accepted and
// brings bookmarks of older versions, but no event up to that version.
func (s *Server) Backup() (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.store.clone()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.store = kept.clone()
		s.store.compactTo(s.store.version)
		for _, st := range slices.Clone(s.streams) {
			st.body.lose(Reset().err)
			st.forget()
		}
	}
}

// List returns the pods of all namespaces that a LIST with the label selector
// would return now, in that order, regardless of faults. It panics if the selector is
// invalid.
func (s *Server) List(selector string) []corev1.Pod {
	sel, err := newSelection("", metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		panic("watchtest: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var pods []corev1.Pod
	for _, pod := range s.store.at(s.store.version) {
		if sel.matches(pod) {
			pods = append(pods, *pod.DeepCopy())
		}
	}
	return pods
}

// Requests returns what clients have asked for so far, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count returns how many requests of the verbs there have been.
func (s *Server) Count(verbs Verb) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if r.Verb&verbs != 0 {
			n++
		}
	}
	return n
}

// RoundTrip answers a request; it makes the server an [http.RoundTripper].
func (s *Server) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	c, wrong := newCall(req)
	strikes, response, err := c.apply(s.strikesFor(c.Request))
	if response != nil || err != nil {
		return response, err
	}
	if wrong == nil {
		wrong = c.validate(s.config.streamingLists)
	}
	if wrong != nil {
		return c.refuse(wrong, strikes), nil
	}
	if c.Verb&(Watch|StreamingList) != 0 {
		return s.watch(c, strikes), nil
	}
	code, object, wrong := s.serve(c)
	strikes, response, err = c.endureLate(strikes)
	if response != nil || err != nil {
		return response, err
	}
	if wrong != nil {
		return c.refuse(wrong, strikes), nil
	}
	return c.respond(code, http.Header{}, object, strikes), nil
}

// serve carries out everything but a WATCH.
func (s *Server) serve(c *call) (int, runtime.Object, *apierrors.StatusError) {
	sent, err := c.readBody()
	if err != nil {
		return 0, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var object runtime.Object
	switch c.Verb {
	case List:
		object, err = s.list(c)
	case Get:
		object, err = s.get(c)
	case Create:
		object, err = s.create(c, sent)
	case Update:
		object, err = s.update(c, sent)
	case Patch:
		object, err = s.patch(c, sent)
	case Delete:
		object, err = s.delete(c, sent)
	case DeleteCollection:
		object, err = s.deleteCollection(c, sent)
	}
	if c.Verb == Create {
		return http.StatusCreated, object, err
	}
	return http.StatusOK, object, err
}

// readBody reads the body of a request before the server's lock is taken.
func (c *call) readBody() ([]byte, *apierrors.StatusError) {
	if c.http.Body == nil {
		return nil, nil
	}
	sent, err := io.ReadAll(c.http.Body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return sent, nil
}

// refuse answers with an error.
func (c *call) refuse(err *apierrors.StatusError, strikes []strike) *http.Response {
	status := err.Status()
	return c.respond(int(status.Code), statusHeader(status), statusObject(status), strikes)
}

// respond answers with one object.
func (c *call) respond(code int, header http.Header, object runtime.Object, strikes []strike) *http.Response {
	b := newBody(c.http.Context(), c.media, func() {})
	for _, k := range strikes {
		b.strike(k)
	}
	b.push(item{document: answer{object}})
	b.finish(io.EOF)
	return c.response(code, header, c.media.contentType, b)
}

func (c *call) response(code int, header http.Header, contentType string, b *body) *http.Response {
	header.Set("Content-Type", contentType)
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", code, http.StatusText(code)),
		StatusCode:    code,
		Proto:         "HTTP/2.0",
		ProtoMajor:    2,
		Header:        header,
		Body:          b,
		ContentLength: -1,
		Request:       c.http,
	}
}

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

// A Server is an API server whose only resource is pods. It has no sockets: it is the
// transport of its clients.
//
// All methods are safe for concurrent use and do not wait for clients. The server copies
// the pods that it receives and returns.
type Server struct {
	config config // not modified after NewServer

	mu       sync.Mutex // guards the following; never held while waiting
	store    store
	created  int // pods ever created, for unique names
	requests []Request
	faults   []*injection
	streams  []*Stream  // the open ones, oldest first
	kubelet  *kubelet   // nil while none runs
	lost     *lostStore // nil while the server has its etcd
}

// config holds the settings that an [Option] can change.
type config struct {
	bookmarks        time.Duration
	streamingLists   bool
	expiredAtConnect bool
	shards           bool
	history          int
	managedOptOut    bool
}

// An Option changes what [NewServer] returns.
type Option func(*config)

// WithBookmarkInterval sets the time between two bookmarks of a stream whose request
// allows bookmarks. The default is one minute. With 0 the server sends only two bookmarks:
// at the end of the initial events, and before the timeout of the stream.
func WithBookmarkInterval(interval time.Duration) Option {
	return func(c *config) { c.bookmarks = interval }
}

// WithoutStreamingLists makes the server refuse streaming lists, like a server that does
// not support them.
func WithoutStreamingLists() Option {
	return func(c *config) { c.streamingLists = false }
}

// WithExpiredAtConnect makes the server answer a WATCH from a compacted version with HTTP
// status 410. By default the server does the same as the watch cache of a real server: it
// accepts the watch and sends 410 in the first event.
func WithExpiredAtConnect() Option {
	return func(c *config) { c.expiredAtConnect = true }
}

// WithHistory makes the server keep only the last n changes and compact older ones. By
// default it keeps all changes until [Server.Compact] is called.
func WithHistory(n int) Option {
	return func(c *config) { c.history = n }
}

// WithShardSelector makes the server select pods by the parameter shardSelector of a LIST or a
// WATCH, like kube-apiserver 1.38 and, with the feature gate ShardedListAndWatch, 1.36 and 1.37
// (KEP-5866). By default the server ignores the parameter, also an invalid one, as kube-apiserver
// does without the gate.
func WithShardSelector() Option {
	return func(c *config) { c.shards = true }
}

// WithManagedFieldsOptOut makes the server omit managedFields from its answers if the Accept
// header has the parameter drop=metadata.managedFields, like kube-apiserver 1.38 with the
// feature gate ManagedFieldsOptOut. By default it ignores the parameter, like older servers.
func WithManagedFieldsOptOut() Option {
	return func(c *config) { c.managedOptOut = true }
}

// NewServer returns a server with no pods and no faults.
func NewServer(opts ...Option) *Server {
	c := config{bookmarks: time.Minute, streamingLists: true}
	for _, opt := range opts {
		opt(&c)
	}
	return &Server{config: c, store: newStore(c.history)}
}

// Config returns a client configuration for this server. It uses protobuf and has no
// client-side rate limit. You may change every field except Transport.
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

// Client returns a clientset that sends and receives protobuf.
func (s *Server) Client() kubernetes.Interface {
	return newClient(s.Config())
}

// JSONClient returns a clientset that sends and receives JSON.
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

// Advance increases the resource version by n without a change to any pod, as
// writes to other resources do in a real cluster.
func (s *Server) Advance(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.version += uint64(n)
}

// Compact discards the history. From now on the server answers a WATCH from a version
// older than the current one with 410, and also a page or an exact LIST of such a version.
// Open streams continue, as they do in a real server.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.compactTo(s.store.version)
}

// Backup saves the current state and returns a function that restores it. You can call
// restore any number of times. It does the same as restoring the etcd of a real cluster
// from a backup:
//
//   - the pods and the resource version are those of the backup;
//   - the server uses the later versions again, for other changes;
//   - the history from before the restore is gone;
//   - the connections of all streams are reset.
//
// The server accepts a WATCH from a version that it has not reached yet. It sends bookmarks
// of older versions to that watch, but no event up to that version.
func (s *Server) Backup() (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := s.store.clone()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.store = saved.clone()
		s.store.compactTo(s.store.version)
		for _, st := range slices.Clone(s.streams) {
			st.body.discard(Reset().err)
			st.unregister()
		}
		if s.kubelet != nil {
			s.kubelet.abandonAll()
			s.kubelet.adoptAll()
		}
	}
}

// List returns the pods of all namespaces that a LIST with the label selector would return
// now, in the same order. Faults do not affect it. It panics if the selector is invalid.
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

// Requests returns the requests that the server has received so far, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count returns how many requests with one of the verbs the server has received.
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

// RoundTrip answers a request. It implements [http.RoundTripper].
func (s *Server) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	c, refusal := newCall(req, s.config.managedOptOut)
	effects, response, err := c.apply(s.effectsFor(c.Request))
	if response != nil || err != nil {
		return response, err
	}
	if refusal == nil {
		refusal = c.validate(s.config.streamingLists)
	}
	if refusal == nil && s.config.shards {
		refusal = c.selectShard()
	}
	if refusal != nil {
		return c.refuse(refusal, effects), nil
	}
	if c.Verb&(Watch|StreamingList) != 0 {
		return s.watch(c, effects)
	}
	refusal, err = s.awaitStore(c, requestPatience)
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		return c.refuse(refusal, effects), nil
	}
	code, object, refusal := s.serve(c)
	effects, response, err = c.applyLate(effects)
	if response != nil || err != nil {
		return response, err
	}
	if refusal != nil {
		return c.refuse(refusal, effects), nil
	}
	return c.respond(code, http.Header{}, object, effects), nil
}

// serve executes every request except a WATCH.
func (s *Server) serve(c *call) (int, runtime.Object, *apierrors.StatusError) {
	content, err := c.readBody()
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
		object, err = s.create(c, content)
	case Update:
		object, err = s.update(c, content)
	case Patch:
		object, err = s.patch(c, content)
	case Delete:
		object, err = s.delete(c, content)
	case DeleteCollection:
		object, err = s.deleteCollection(c, content)
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
	content, err := io.ReadAll(c.http.Body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return content, nil
}

// refuse returns a response with an error.
func (c *call) refuse(err *apierrors.StatusError, effects []activeEffect) *http.Response {
	status := err.Status()
	return c.respond(int(status.Code), statusHeader(status), statusObject(status), effects)
}

// respond returns a response with one object.
func (c *call) respond(code int, header http.Header, object runtime.Object, effects []activeEffect) *http.Response {
	b := newBody(c.http.Context(), c.media, func() {})
	for _, a := range effects {
		b.queueEffect(a)
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

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// TestMain fails the run if a goroutine of this package outlives the tests.
// Most tests run in a synctest bubble, which checks this for each test.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	if left := leftGoroutines(); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leftGoroutines returns the stacks of goroutines that still run this package's code. It
// first gives goroutines that are about to end the time to do so.
func leftGoroutines() string {
	var left []string
	for range 1000 {
		buf := make([]byte, 1<<20)
		buf = buf[:goruntime.Stack(buf, true)]
		left = nil
		for stack := range bytes.SplitSeq(buf, []byte("\n\n")) {
			if bytes.Contains(stack, []byte("executorpods/watchsource")) && !bytes.Contains(stack, []byte("TestMain")) {
				left = append(left, string(stack))
			}
		}
		if left == nil {
			return ""
		}
		goruntime.Gosched()
	}
	return strings.Join(left, "\n\n")
}

// eachConstructor runs a test with an ordinary source, and with a source
// of a SharedWatch.
func eachConstructor(t *testing.T, test func(t *testing.T, newSource modeltest.NewSource)) {
	t.Helper()
	for _, c := range constructors {
		t.Run(c.name, func(t *testing.T) { test(t, c.newSource) })
	}
}

// eachInBubble runs a test with each constructor in virtual time. A goroutine that outlives the
// test fails it.
func eachInBubble(t *testing.T, test func(t *testing.T, newSource modeltest.NewSource)) {
	t.Helper()
	for _, c := range constructors {
		inBubble(t, c.name, func(t *testing.T) { test(t, c.newSource) })
	}
}

// eachCaseInBubble is eachInBubble under a name, for tables.
func eachCaseInBubble(t *testing.T, name string, test func(t *testing.T, newSource modeltest.NewSource)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { eachInBubble(t, test) })
}

// eachWayInBubble is eachInBubble, and also runs the test with a source of three namespaces. Use it
// for tests that count no requests.
func eachWayInBubble(t *testing.T, test func(t *testing.T, newSource modeltest.NewSource)) {
	t.Helper()
	eachInBubble(t, test)
	inBubble(t, "three namespaces", func(t *testing.T) { test(t, modeltest.Namespaces) })
}

// eachCaseEachWay is eachWayInBubble under a name, for tables.
func eachCaseEachWay(t *testing.T, name string, test func(t *testing.T, newSource modeltest.NewSource)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { eachWayInBubble(t, test) })
}

// inBubble runs a test in virtual time under a name. A goroutine that outlives the test
// fails it.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// The builders of podtest, under short names because tables use them in every row.
const executorContainer = podtest.ExecutorContainer

var (
	pod       = podtest.Pod
	phase     = podtest.Phase
	version   = podtest.Version
	uid       = podtest.UID
	label     = podtest.Label
	deleting  = podtest.Deleting
	container = podtest.Container
	running   = podtest.Running
	ended     = podtest.Ended
	waiting   = podtest.Waiting
)

// logLines records the lines of its logger.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) logger(verbosity int) logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, args)
	}, funcr.Options{Verbosity: verbosity})
}

// matching returns the lines that contain all the parts.
func (l *logLines) matching(parts ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
next:
	for _, line := range l.lines {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// recordingStore is a SnapshotsStore that records one line for each call.
type recordingStore struct {
	mu    sync.Mutex
	calls []string
	// block, if not nil, makes every call wait until it is closed.
	block chan struct{}
}

func (s *recordingStore) record(line string) {
	s.mu.Lock()
	s.calls = append(s.calls, line)
	block := s.block
	s.mu.Unlock()
	if block != nil {
		<-block
	}
}

func (s *recordingStore) UpdatePod(p *corev1.Pod) { s.record("update " + p.Name) }
func (s *recordingStore) DeletePod(p *corev1.Pod) { s.record("delete " + p.Name) }
func (s *recordingStore) ReplaceSnapshot(pods []*corev1.Pod) {
	names := []string{"replace"}
	for _, p := range pods {
		names = append(names, p.Name)
	}
	s.record(strings.Join(names, " "))
}

func (s *recordingStore) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

// jsonOnly makes every request ask for JSON, like a proxy that overrides the Accept header.
func jsonOnly(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("Accept", runtime.ContentTypeJSON)
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func jsonClient(t *testing.T, server *watchtest.Server) kubernetes.Interface {
	t.Helper()
	config := server.Config()
	config.Wrap(jsonOnly)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func added(p *corev1.Pod) watch.Event { return watch.Event{Type: watch.Added, Object: p} }
func bookmark(resourceVersion string) watch.Event {
	return watch.Event{Type: watch.Bookmark, Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: resourceVersion}}}
}

func modified(p *corev1.Pod) watch.Event { return watch.Event{Type: watch.Modified, Object: p} }

func selectorOf(t *testing.T, s string) labels.Selector {
	t.Helper()
	selector, err := labels.Parse(s)
	must(t, err)
	return selector
}

func errorEvent(err *apierrors.StatusError) watch.Event {
	return watch.Event{Type: watch.Error, Object: &err.ErrStatus}
}

func modifiedObject(object runtime.Object) watch.Event {
	return watch.Event{Type: watch.Modified, Object: object}
}

func unknownEvent(p *corev1.Pod) watch.Event { return watch.Event{Type: "RENAMED", Object: p} }

// completeLists returns how many lists the server has received that are not of one name. After
// an outage the source asks for the server's version by a list of one name.
func completeLists(server *watchtest.Server) int {
	n := 0
	for _, r := range server.Requests() {
		if r.Verb&allLists != 0 && r.Options.FieldSelector == "" {
			n++
		}
	}
	return n
}

// keptPod returns the pod of an executor in a store that keeps the pods.
func keptPod(t *testing.T, e watchsource.Executor) *corev1.Pod {
	t.Helper()
	pod, err := e.Pod()
	if err != nil {
		t.Fatalf("%s: Pod() = %v, want the pod", e.Name, err)
	}
	return pod
}

// hasPod reports whether an executor has its pod. Without it, Pod fails with ErrNoPod.
func hasPod(t *testing.T, e watchsource.Executor) bool {
	t.Helper()
	pod, err := e.Pod()
	if err != nil && (pod != nil || !errors.Is(err, watchsource.ErrNoPod)) {
		t.Errorf("Pod() = %v, %v, want nil and ErrNoPod", pod, err)
	}
	return err == nil
}

// inWireForm returns the pod as a watch in protobuf brings it.
func inWireForm(t *testing.T, p *corev1.Pod) runtime.Object {
	t.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	wire, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion), p)
	if err != nil {
		t.Fatal(err)
	}
	clientGo := runtime.NewClientNegotiator(scheme.Codecs.WithoutConversion(), corev1.SchemeGroupVersion)
	report := func(fallback string) {
		if fallback != "" {
			t.Error("client-go has decoded the pod, want it in its wire form")
		}
	}
	decoder, err := podwire.NewNegotiator(clientGo, podwire.Wire, nil, nil, report).Decoder(runtime.ContentTypeProtobuf, nil)
	if err != nil {
		t.Fatal(err)
	}
	object, _, err := decoder.Decode(wire, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func create(t *testing.T, client kubernetes.Interface, p *corev1.Pod) {
	t.Helper()
	if _, err := client.CoreV1().Pods(p.Namespace).Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, client kubernetes.Interface, p *corev1.Pod) {
	t.Helper()
	if err := client.CoreV1().Pods(p.Namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func modify(t *testing.T, client kubernetes.Interface, p *corev1.Pod) {
	t.Helper()
	if _, err := client.CoreV1().Pods(p.Namespace).UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, source *watchsource.WatchSnapshotSource, appID string) {
	t.Helper()
	if err := source.Start(appID); err != nil {
		t.Fatal(err)
	}
}

// names lists the executors of a snapshot with their states.
func names(s watchsource.Snapshot) string {
	var all []string
	for e := range s.All() {
		all = append(all, fmt.Sprintf("%s=%v", e.Name, e.State))
	}
	return strings.Join(all, " ")
}

func wantNames(t *testing.T, store *watchsource.Store, want string) {
	t.Helper()
	synctest.Wait()
	if got := names(store.Snapshot()); got != want {
		t.Errorf("snapshot %q, want %q", got, want)
	}
}

func driver(app string) *corev1.Pod {
	return pod("driver", label(watchsource.LabelApp, app), label(watchsource.LabelRole, "driver"))
}

var podsResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

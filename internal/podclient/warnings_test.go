// SPDX-License-Identifier: Apache-2.0

package podclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/failure"
)

// warningsOf are the Warning headers of an answer. The first has the name of the request, the second an
// agent and a time, the last another code. The third cannot be parsed.
func warningsOf(request string) []string {
	return []string{
		fmt.Sprintf(`299 - "%s of pods is deprecated"`, request),
		`299 kube-apiserver "spec.x: \"y\" is ignored" "Wed, 21 Oct 2026 07:28:00 GMT"`,
		`no warning`,
		`110 proxy "the answer is old"`,
	}
}

// requestName names a request of the tests by its parameters.
func requestName(r *http.Request) string {
	query := r.URL.Query()
	switch {
	case query.Get("sendInitialEvents") == "true":
		return "streaming list"
	case query.Get("watch") == "true":
		return "watch"
	case query.Get("fieldSelector") != "":
		return "check"
	case strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList"):
		return "metadata"
	default:
		return "list"
	}
}

// newWarningServer returns a server that answers each request with warnings: with pods, or with
// the status code.
func newWarningServer(t *testing.T, code int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, warning := range warningsOf(requestName(r)) {
			w.Header().Add("Warning", warning)
		}
		mediaType, _, _ := strings.Cut(strings.SplitN(r.Header.Get("Accept"), ",", 2)[0], ";")
		w.Header().Set("Content-Type", mediaType)
		switch {
		case code != http.StatusOK:
			w.WriteHeader(code)
			w.Write(encoded(t, mediaType, &metav1.Status{Status: metav1.StatusFailure, Code: int32(code), Message: "refused"}))
		case r.URL.Query().Get("watch") == "true":
			w.Write(bookmarkEvent(t, mediaType))
		default:
			w.Write(encoded(t, mediaType, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}))
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func encoded(t *testing.T, mediaType string, object runtime.Object) []byte {
	t.Helper()
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	if !ok {
		t.Fatalf("no serializer for %s", mediaType)
	}
	body, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion), object)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// bookmarkEvent is the body of a watch with a bookmark.
func bookmarkEvent(t *testing.T, mediaType string) []byte {
	t.Helper()
	object := encoded(t, mediaType, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"}})
	if mediaType == runtime.ContentTypeJSON {
		return fmt.Appendf(nil, `{"type":"BOOKMARK","object":%s}`, object)
	}
	event, err := (&metav1.WatchEvent{Type: string(watch.Bookmark), Object: runtime.RawExtension{Raw: object}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(event))), event...)
}

// recordedWarnings are the calls of a handler. It is a handler of both kinds.
type recordedWarnings struct {
	mu    sync.Mutex
	calls []string
}

// inRequest is the key of the name of a request in its context.
type inRequest struct{}

func (w *recordedWarnings) HandleWarningHeader(code int, agent, text string) {
	w.HandleWarningHeaderWithContext(context.Background(), code, agent, text)
}

func (w *recordedWarnings) HandleWarningHeaderWithContext(ctx context.Context, code int, agent, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, fmt.Sprintf("%v: %d %q %q", ctx.Value(inRequest{}), code, agent, text))
}

// take returns the calls since the last take.
func (w *recordedWarnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// withoutContext is a handler of the older kind only, and withContext of the newer.
type (
	withoutContext struct{ rest.WarningHandler }
	withContext    struct{ rest.WarningHandlerWithContext }
)

// handlers are the ways in which a program handles warnings: with a handler in the configuration, or with
// the default of client-go. Of two handlers client-go calls the one with a context.
var handlers = map[string]struct {
	set func(c *rest.Config, own *recordedWarnings)
	// own and others are set if calls of the handler, and of the default, are expected.
	own, others bool
}{
	"no warnings":              {set: func(c *rest.Config, _ *recordedWarnings) { c.WarningHandler = rest.NoWarnings{} }},
	"no warnings with context": {set: func(c *rest.Config, _ *recordedWarnings) { c.WarningHandlerWithContext = rest.NoWarnings{} }},
	"handler":                  {set: func(c *rest.Config, own *recordedWarnings) { c.WarningHandler = withoutContext{own} }, own: true},
	"handler with context":     {set: func(c *rest.Config, own *recordedWarnings) { c.WarningHandlerWithContext = withContext{own} }, own: true},
	"two handlers": {set: func(c *rest.Config, own *recordedWarnings) {
		c.WarningHandler, c.WarningHandlerWithContext = rest.NoWarnings{}, withContext{own}
	}, own: true},
	"the default": {set: func(*rest.Config, *recordedWarnings) {}, others: true},
}

// A wrapped client can only call the methods of client-go.
type wrapped struct{ kubernetes.Interface }

func (c wrapped) CoreV1() typedcorev1.CoreV1Interface {
	return struct{ typedcorev1.CoreV1Interface }{c.Interface.CoreV1()}
}

// clients are the clients of this package, by their type.
var clients = map[string]struct {
	contentType string
	wrapped     bool
}{
	"*podclient.wirePods":  {},
	"*podclient.restPods":  {contentType: runtime.ContentTypeJSON},
	"*podclient.typedPods": {wrapped: true},
}

// requests are those of a source, through a client of this package, and as a program makes them
// with client-go.
var requests = []struct {
	name     string
	own      func(context.Context, Client) error
	clientGo func(context.Context, kubernetes.Interface) error
}{
	{
		name:     "list",
		own:      func(ctx context.Context, c Client) error { _, err := c.List(ctx, metav1.ListOptions{}); return err },
		clientGo: func(ctx context.Context, c kubernetes.Interface) error { return listWith(ctx, c, metav1.ListOptions{}) },
	},
	{
		name:     "streaming list",
		own:      func(ctx context.Context, c Client) error { return watchWithOwn(ctx, c, initialEvents) },
		clientGo: func(ctx context.Context, c kubernetes.Interface) error { return watchWith(ctx, c, initialEvents) },
	},
	{
		name: "watch",
		own: func(ctx context.Context, c Client) error {
			return watchWithOwn(ctx, c, metav1.ListOptions{ResourceVersion: "7"})
		},
		clientGo: func(ctx context.Context, c kubernetes.Interface) error {
			return watchWith(ctx, c, metav1.ListOptions{ResourceVersion: "7"})
		},
	},
	{
		name:     "check",
		own:      func(ctx context.Context, c Client) error { _, err := c.Version(ctx, ""); return err },
		clientGo: func(ctx context.Context, c kubernetes.Interface) error { return listWith(ctx, c, versionOptions("")) },
	},
	{
		name: "metadata",
		own:  func(ctx context.Context, c Client) error { _, err := c.Metadata(ctx, metav1.ListOptions{}); return err },
		clientGo: func(ctx context.Context, c kubernetes.Interface) error {
			return c.CoreV1().RESTClient().Get().Namespace("jobs").Resource("pods").SetHeader("Accept", jsonMetadata).Do(ctx).Error()
		},
	},
}

var initialEvents = metav1.ListOptions{SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}

func listWith(ctx context.Context, client kubernetes.Interface, options metav1.ListOptions) error {
	_, err := client.CoreV1().Pods("jobs").List(ctx, options)
	return err
}

func watchWith(ctx context.Context, client kubernetes.Interface, options metav1.ListOptions) error {
	w, err := client.CoreV1().Pods("jobs").Watch(ctx, options)
	if err == nil {
		w.Stop()
	}
	return err
}

func watchWithOwn(ctx context.Context, client Client, options metav1.ListOptions) error {
	events, err := client.Watch(ctx, options)
	if err == nil {
		events.Close()
	}
	return err
}

// For each request the handler of the user is called as client-go would call it: with the same
// warnings, in the same order and with the context of the request, whether the server answers or
// refuses the request, and whatever decodes the pods. No other handler is called.
func TestWarningsReachTheHandler(t *testing.T) {
	var others recordedWarnings
	rest.SetDefaultWarningHandlerWithContext(&others)
	t.Cleanup(func() { rest.SetDefaultWarningHandlerWithContext(rest.WarningLogger{}) })
	for _, code := range []int{http.StatusOK, http.StatusForbidden} {
		server := newWarningServer(t, code)
		for handlerName, handler := range handlers {
			for clientName, c := range clients {
				t.Run(fmt.Sprint(code, "/", handlerName, "/", clientName), func(t *testing.T) {
					var own recordedWarnings
					config := &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: c.contentType}}
					handler.set(config, &own)
					var client kubernetes.Interface
					client, err := kubernetes.NewForConfig(config)
					if err != nil {
						t.Fatal(err)
					}
					if c.wrapped {
						client = wrapped{client}
					}
					pods := New(Config{Client: client, Namespace: "jobs"})
					if name := fmt.Sprintf("%T", pods); name != clientName {
						t.Fatalf("the client is a %s, want a %s", name, clientName)
					}
					for _, r := range requests {
						ctx := context.WithValue(t.Context(), inRequest{}, r.name)
						wantAnswer(t, r.clientGo(ctx, client), code)
						want, wantOthers := own.take(), others.take()
						wantAnswer(t, r.own(ctx, pods), code)
						got, gotOthers := own.take(), others.take()
						if !slices.Equal(got, want) || !slices.Equal(gotOthers, wantOthers) {
							t.Errorf("%s: the handler was called with %q, the default with %q; client-go calls them with %q and %q",
								r.name, got, gotOthers, want, wantOthers)
						}
						if (len(want) == 3) != handler.own || (len(wantOthers) == 3) != handler.others || len(want)+len(wantOthers) > 3 {
							t.Errorf("%s: client-go calls the handler with %q, the default with %q", r.name, want, wantOthers)
						}
					}
				})
			}
		}
	}
}

// wantAnswer checks that a request was answered, or refused with a code.
func wantAnswer(t *testing.T, err error, code int) {
	t.Helper()
	if got := failure.StatusCode(errors.Join(err)); err != nil && got != code || err == nil && code != http.StatusOK {
		t.Fatalf("the error %v, want the code %d", err, code)
	}
}

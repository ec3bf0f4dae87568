// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// handledWarnings is a warning handler that records the warnings.
type handledWarnings struct {
	mu    sync.Mutex
	texts []string
	// handle is called with each warning. It may be nil.
	handle func()
}

func (w *handledWarnings) HandleWarningHeader(code int, agent, text string) {
	w.mu.Lock()
	w.texts = append(w.texts, fmt.Sprintf("%d %s %s", code, agent, text))
	handle := w.handle
	w.mu.Unlock()
	if handle != nil {
		handle()
	}
}

func (w *handledWarnings) HandleWarningHeaderWithContext(_ context.Context, code int, agent, text string) {
	w.HandleWarningHeader(code, agent, text)
}

func (w *handledWarnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.texts)
}

// warningClients are clients with a warning handler of the two kinds, for each decoder.
var warningClients = map[string]func(c *rest.Config, handler *handledWarnings) (decoder string){
	"handler": func(c *rest.Config, handler *handledWarnings) string {
		c.WarningHandler = handler
		return "protobuf"
	},
	"handler with context": func(c *rest.Config, handler *handledWarnings) string {
		c.WarningHandlerWithContext = handler
		return "protobuf"
	},
	"JSON": func(c *rest.Config, handler *handledWarnings) string {
		c.WarningHandler = handler
		c.AcceptContentTypes, c.ContentType = jsonType, jsonType
		return "client-go: the client asks for application/json"
	},
}

// warningClient returns a client of a server whose answers have a warning. Their number is in count.
func warningClient(t *testing.T, server *watchtest.Server, set func(*rest.Config)) (client kubernetes.Interface, count func() int) {
	t.Helper()
	var mu sync.Mutex
	answers := 0
	config := server.Config()
	set(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			answer, err := next.RoundTrip(r)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				answers++
				answer.Header.Add("Warning", fmt.Sprintf(`299 - "answer %d"`, answers))
				answer.Header.Add("Warning", "no warning")
			}
			return answer, err
		})
	})
	return clientFor(t, config), func() int {
		mu.Lock()
		defer mu.Unlock()
		return answers
	}
}

// A warning handler receives the warnings of all requests of a source: lists, watches, checks after
// outages, verifications and refusals. It does not change the decoder.
func TestWarningHandler(t *testing.T) {
	for list, options := range podLists {
		for name, set := range warningClients {
			eachCaseInBubble(t, list+"/"+name, func(t *testing.T, newSource modeltest.NewSource) {
				server := watchtest.NewServer(options...)
				server.Create(pod("1"))
				var handler handledWarnings
				var decoder string
				client, answers := warningClient(t, server, func(c *rest.Config) { decoder = set(c, &handler) })
				store := watchsource.NewStore()
				source := newSource(store, client, watchsource.WithVerification(verifyEvery))
				start(t, source, "app")
				server.Inject(watchtest.Fault{On: watchtest.Watch, Times: 2, Do: watchtest.Answer(apierrors.NewServiceUnavailable("busy"))})
				server.Strike(watchtest.Reset())
				time.Sleep(20 * time.Minute)
				server.Update("jobs", "exec-1", touch)
				wantEqualToList(t, server, store)
				wantDecoder(t, source, decoder)
				if source.Status().Errors == 0 || len(verifications(server)) == 0 {
					t.Errorf("%+v and %d verifications, want some of both", source.Status(), len(verifications(server)))
				}
				source.Stop()
				var want []string
				for i := range answers() {
					want = append(want, fmt.Sprintf("299 - answer %d", i+1))
				}
				if got := handler.all(); !slices.Equal(got, want) || len(want) < 10 {
					t.Errorf("the handler was called with %q, want at least 10 warnings: %q", got, want)
				}
			})
		}
	}
}

// A handler that panics before the watch is open makes Start panic with its value, as client-go
// panics in the caller of a request.
func TestPanicOfAWarningHandler(t *testing.T) {
	for name, set := range warningClients {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			handler := handledWarnings{handle: func() { panic("no warnings, please") }}
			client, _ := warningClient(t, server, func(c *rest.Config) { set(c, &handler) })
			source := newSource(watchsource.NewStore(), client)
			var recovered any
			func() {
				defer func() { recovered = recover() }()
				source.Start("app")
			}()
			if recovered != "no warnings, please" {
				t.Errorf("Start has panicked with %v, want the value of the handler", recovered)
			}
			if phase := source.Status().Phase; phase != watchsource.Stopped {
				t.Errorf("the phase is %v, want %v", phase, watchsource.Stopped)
			}
		})
	}
}

// A handler that blocks delays its request. Start times out as usual, and Stop returns.
func TestBlockedWarningHandler(t *testing.T) {
	for name, set := range warningClients {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			block := make(chan struct{})
			handler := handledWarnings{handle: func() { <-block }}
			client, _ := warningClient(t, server, func(c *rest.Config) { set(c, &handler) })
			source := newSource(watchsource.NewStore(), client, watchsource.WithStartTimeout(10*time.Second))
			if err := source.Start("app"); !apierrors.IsTimeout(err) {
				t.Errorf("Start = %v, want a timeout", err)
			}
			source.Stop()
			close(block)
			synctest.Wait()
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"sync"
	"testing"

	"github.com/executorpods/watchsource"
	"k8s.io/client-go/rest"
)

// A warningCounter is a warning handler that counts the warnings by their text.
type warningCounter struct {
	mu    sync.Mutex
	texts map[string]int
}

func (w *warningCounter) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts[text]++
}

func (w *warningCounter) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.texts[text]
}

// With a warning handler the pods of a real server come through the library's decoder, and the
// handler receives the warnings that a proxy adds to each answer: their text is the kind of the
// request.
func TestWarningHandlers(t *testing.T) {
	for name, test := range map[string]struct {
		refuse func(http.RoundTripper, *http.Request) (*http.Response, error)
		kinds  []string
	}{
		"streaming list": {
			refuse: func(next http.RoundTripper, r *http.Request) (*http.Response, error) { return next.RoundTrip(r) },
			kinds:  []string{"streaming list"},
		},
		"plain list": {refuse: refusingStreamedLists, kinds: []string{"streaming list", "list", "watch"}},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, admin(t))
			config := altered(server.Config(), func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				answer, err := test.refuse(next, r)
				if err == nil {
					answer.Header.Add("Warning", `299 proxy "`+requestKind(r)+`"`)
				}
				return answer, err
			})
			handler := &warningCounter{texts: map[string]int{}}
			for _, set := range []func(*rest.Config){
				func(c *rest.Config) { c.WarningHandler = rest.NoWarnings{} },
				func(c *rest.Config) { c.WarningHandler = handler },
			} {
				config := rest.CopyConfig(config)
				set(config)
				source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), newClient(t, config), watchsource.WithNamespace(namespace))
				if err := source.Start("app"); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(source.Stop)
				if decoder := source.Status().Decoder; decoder != "protobuf" {
					t.Errorf("the decoder is %q, want protobuf", decoder)
				}
			}
			for _, kind := range test.kinds {
				if handler.count(kind) == 0 {
					t.Errorf("the handler has received no warning of a %s", kind)
				}
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// fieldManager is in the managedFields of the pods, and nowhere else.
const fieldManager = "manager-of-this-test"

// answers records what a server has answered.
type answers struct {
	mu    sync.Mutex
	types map[string]bool // Content-Type
	body  bytes.Buffer
}

func (a *answers) record(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		mediaType, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
		a.mu.Lock()
		a.types[mediaType] = true
		a.mu.Unlock()
		response.Body = recordedBody{response.Body, a}
		return response, nil
	})
}

// managed reports whether an answer had managedFields.
func (a *answers) managed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return bytes.Contains(a.body.Bytes(), []byte(fieldManager))
}

type recordedBody struct {
	io.ReadCloser
	answers *answers
}

func (b recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.answers.mu.Lock()
	defer b.answers.mu.Unlock()
	b.answers.body.Write(p[:n])
	return n, err
}

// acceptWithoutParameters is a proxy in front of a simple server: it removes each media type that
// has parameters.
func acceptWithoutParameters(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		var known []string
		for entry := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
			if !strings.Contains(entry, ";") {
				known = append(known, entry)
			}
		}
		r = r.Clone(r.Context())
		r.Header.Set("Accept", strings.Join(known, ","))
		return next.RoundTrip(r)
	})
}

const protobufType, jsonType = "application/vnd.kubernetes.protobuf", "application/json"

// acceptingClients are clients with different Accept headers, and the media type of their answers.
var acceptingClients = map[string]struct {
	settings  func(*rest.Config)
	mediaType string
}{
	"protobuf": {func(*rest.Config) {}, protobufType},
	"JSON":     {func(c *rest.Config) { c.AcceptContentTypes, c.ContentType = jsonType, jsonType }, jsonType},
	"JSON of preference": {
		func(c *rest.Config) { c.AcceptContentTypes = jsonType + ";q=0.9, " + protobufType + ";q=0.8" }, jsonType,
	},
	"by default":                {func(c *rest.Config) { c.ContentConfig = rest.ContentConfig{} }, protobufType},
	"protobuf, warning handler": {func(c *rest.Config) { c.WarningHandler = rest.NoWarnings{} }, protobufType},
	"by default, warning handler": {
		func(c *rest.Config) { c.ContentConfig, c.WarningHandler = rest.ContentConfig{}, rest.NoWarnings{} }, protobufType,
	},
	"any media type after its own": {func(c *rest.Config) { c.AcceptContentTypes, c.ContentType = "", jsonType }, jsonType},
}

// managedFieldsServers are servers that can omit managedFields, or cannot.
var managedFieldsServers = map[string]struct {
	options []watchtest.Option
	proxy   func(http.RoundTripper) http.RoundTripper
	managed bool
}{
	"can":                  {options: []watchtest.Option{watchtest.WithManagedFieldsOptOut()}},
	"can, plain lists":     {options: []watchtest.Option{watchtest.WithManagedFieldsOptOut(), watchtest.WithoutStreamingLists()}},
	"cannot":               {managed: true},
	"cannot, plain lists":  {options: []watchtest.Option{watchtest.WithoutStreamingLists()}, managed: true},
	"knows no parameters":  {options: []watchtest.Option{watchtest.WithManagedFieldsOptOut()}, proxy: acceptWithoutParameters, managed: true},
	"plain, no parameters": {options: []watchtest.Option{watchtest.WithoutStreamingLists()}, proxy: acceptWithoutParameters, managed: true},
}

// A server that knows the parameter omits managedFields from each answer: a streaming list, a plain
// list, a watch, and a list of metadata. Any other server answers in the same media type.
func TestManagedFieldsAreNotRequested(t *testing.T) {
	for serverName, s := range managedFieldsServers {
		for clientName, c := range acceptingClients {
			eachCaseInBubble(t, serverName+"/"+clientName, func(t *testing.T, newSource modeltest.NewSource) {
				server := watchtest.NewServer(s.options...)
				entry := []metav1.ManagedFieldsEntry{{Manager: fieldManager, Operation: metav1.ManagedFieldsOperationUpdate}}
				first, second := pod("1", uid("1")), pod("2", uid("2"))
				first.ManagedFields, second.ManagedFields = entry, entry
				server.Create(first)
				answers := &answers{types: map[string]bool{}}
				config := server.Config()
				c.settings(config)
				if s.proxy != nil {
					config.Wrap(s.proxy)
				}
				config.Wrap(answers.record)
				store := watchsource.NewStore()
				source := newSource(store, clientFor(t, config), watchsource.WithVerification(verifyEvery))
				start(t, source, "app")
				server.Create(second)
				synctest.Wait()
				wantNames(t, store, "exec-1=Pending exec-2=Pending")
				time.Sleep(2 * verifyEvery)
				status := source.Status()
				source.Stop()

				if got := answers.managed(); got != s.managed {
					t.Errorf("managedFields in an answer: %v, want %v", got, s.managed)
				}
				if !answers.types[c.mediaType] || len(answers.types) != 1 && s.proxy == nil {
					t.Errorf("answers in %v, want %s", answers.types, c.mediaType)
				}
				if status.Errors > 0 || status.Lists != 1 {
					t.Errorf("%d lists and %d errors (%v), want 1 and none", status.Lists, status.Errors, status.Err)
				}
			})
		}
	}
}

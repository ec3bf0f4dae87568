// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// newClient returns a client and drops its connections after the test.
func newClient(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	client, err := kubernetes.NewForConfigAndClient(config, transport)
	if err != nil {
		t.Fatal(err)
	}
	return client
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

// answer is what an API server says instead of doing what it was asked.
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

// refusingResumes answers like a server that has forgotten the past.
func refusingResumes(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	if !query.Has("watch") || query.Has("sendInitialEvents") {
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

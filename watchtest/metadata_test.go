// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/executorpods/watchsource/watchtest"
)

// client-go's metadata client reads the metadata of a list, a pod and a watch.
func TestMetadata(t *testing.T) {
	for name, mediaType := range map[string]string{"protobuf": runtime.ContentTypeProtobuf, "json": runtime.ContentTypeJSON} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { wantMetadata(t, mediaType) })
		})
	}
}

// metadataClient returns a client that accepts metadata in one media type only.
func metadataClient(t *testing.T, srv *watchtest.Server, mediaType string) metadata.Interface {
	t.Helper()
	config := srv.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			var accepted []string
			for entry := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
				if strings.HasPrefix(entry, mediaType+";") {
					accepted = append(accepted, entry)
				}
			}
			r.Header.Set("Accept", strings.Join(accepted, ","))
			return next.RoundTrip(r)
		})
	})
	client, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func wantMetadata(t *testing.T, mediaType string) {
	srv := watchtest.NewServer()
	srv.Create(executor("a"))
	srv.Create(executor("b"))
	client := metadataClient(t, srv, mediaType)
	pods := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace("default")

	version := srv.ResourceVersion()
	srv.Delete("default", "b")
	exact := metav1.ListOptions{ResourceVersion: version, ResourceVersionMatch: metav1.ResourceVersionMatchExact, Limit: 1}
	for _, want := range []string{"a", "b"} {
		list, err := pods.List(t.Context(), exact)
		if err != nil {
			t.Fatal(err)
		}
		if list.ResourceVersion != version || len(list.Items) != 1 || list.Items[0].Name != want || list.Items[0].Labels["app"] != "one" {
			t.Errorf("a page of %v at version %q, want pod %s at %q", list.Items, list.ResourceVersion, want, version)
		}
		exact = metav1.ListOptions{Limit: 1, Continue: list.Continue}
	}
	if exact.Continue != "" {
		t.Error("the second page has a token, want none")
	}

	got, err := pods.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || got.Name != "a" {
		t.Errorf("Get = %v, %v, want the metadata of a", got, err)
	}
	w, err := pods.Watch(t.Context(), metav1.ListOptions{ResourceVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if event := <-w.ResultChan(); event.Type != "DELETED" || event.Object.(*metav1.PartialObjectMetadata).Name != "b" {
		t.Errorf("event %+v, want the deletion of b", event)
	}
}

// A server that can answer with a list only does not call it one pod.
func TestMetadataOfTheWrongKind(t *testing.T) {
	srv := watchtest.NewServer()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://watchtest.invalid/api/v1/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
	response, err := srv.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusNotAcceptable {
		t.Errorf("%s: %s, want 406", response.Status, body)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

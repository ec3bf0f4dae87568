// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientfeatures "k8s.io/client-go/features"
	clientfeaturestesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/rest"
)

// Guarantee 1, at the start, with more pods than fit on a page of a list: by a
// streaming list, by pages, and by the pages to which it falls back on a server
// that cannot stream, as which this one may count: in 1.31 and 1.33 the gate WatchList is off.
func TestStartWithManyPods(t *testing.T) {
	const (
		many  = 1100
		pages = 3 // of 500, as client-go's pager asks for
	)
	client := admin(t)
	namespace := newNamespace(t, client)
	pods := make([]*corev1.Pod, many)
	for id := range pods {
		pods[id] = executorPod(namespace, appID, id)
	}
	create(t, client, pods...)

	streaming := int32(pages)
	if server.StreamsLists() {
		streaming = 0
	}
	config := server.Config()
	old := altered(config, refusingStreamedLists)
	for _, test := range []struct {
		name         string
		config       *rest.Config
		switchedOff  bool // by client-go's feature gate
		wantRequests int32
	}{
		{name: "streaming list, protobuf", config: speaking(config, asProtobuf), wantRequests: streaming},
		{name: "streaming list, JSON", config: speaking(config, asJSON), wantRequests: streaming},
		{name: "streaming list refused, protobuf", config: speaking(old, asProtobuf), wantRequests: pages},
		{name: "streaming list refused, JSON", config: speaking(old, asJSON), wantRequests: pages},
		{name: "streaming list switched off, protobuf", config: speaking(config, asProtobuf), switchedOff: true, wantRequests: pages},
		{name: "streaming list switched off, JSON", config: speaking(config, asJSON), switchedOff: true, wantRequests: pages},
	} {
		t.Run(test.name, func(t *testing.T) {
			clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, !test.switchedOff)
			counted, lists := countingLists(test.config)
			begin := time.Now()
			w := newConsumer(t, test.name, counted, namespace)
			took := time.Since(begin)
			if snapshot := w.store.Snapshot(); snapshot.Len() != many || !snapshot.Complete() {
				t.Errorf("after Start the store has %d pods, complete %t; want %d, true", snapshot.Len(), snapshot.Complete(), many)
			}
			w.mustAgree(t, client, "at the start")
			if got := lists.Load(); got != test.wantRequests {
				t.Errorf("%d requests for lists, want %d", got, test.wantRequests)
			}
			t.Logf("Start took %v", took.Round(time.Millisecond))
		})
	}

	t.Run("a page is lost on the way", func(t *testing.T) {
		expired := altered(old, refusingPages)
		w := newConsumer(t, "expired", expired, namespace)
		w.mustAgree(t, client, "at the start")
	})
}

func countingLists(config *rest.Config) (*rest.Config, *atomic.Int32) {
	lists := new(atomic.Int32)
	return altered(config, func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
		if !request.URL.Query().Has("watch") {
			lists.Add(1)
		}
		return next.RoundTrip(request)
	}), lists
}

// refusingPages answers a request for the second page of a list as a server
// does whose etcd has been compacted meanwhile.
func refusingPages(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("continue") == "" {
		return next.RoundTrip(request)
	}
	return answer(request, metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure,
		Reason:   metav1.StatusReasonExpired,
		Code:     http.StatusGone,
		Message:  "The provided continue parameter is too old to display a consistent list result.",
	})
}

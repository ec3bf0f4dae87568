// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"mime"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
)

// A real server answers each request in the media type that the client prefers, whether it
// knows the parameter drop=metadata.managedFields or not, and compresses no stream.
func TestMediaTypesOfTheServer(t *testing.T) {
	for _, mediaType := range []string{asProtobuf, asJSON} {
		for name, refuse := range map[string]func(http.RoundTripper, *http.Request) (*http.Response, error){
			"streaming list": func(next http.RoundTripper, r *http.Request) (*http.Response, error) { return next.RoundTrip(r) },
			"plain list":     refusingStreamedLists,
		} {
			t.Run(name+" "+mediaType, func(t *testing.T) { testMediaTypesOfTheServer(t, mediaType, refuse) })
		}
	}
}

func testMediaTypesOfTheServer(t *testing.T, mediaType string, refuse func(http.RoundTripper, *http.Request) (*http.Response, error)) {
	namespace := newNamespace(t, admin(t))
	var mu sync.Mutex
	asked := map[string]int{} // by kind of request
	verified := make(chan struct{})
	config := altered(speaking(server.Config(), mediaType), func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		response, err := refuse(next, r)
		if err != nil || response.StatusCode != http.StatusOK {
			return response, err
		}
		kind := requestKind(r)
		answered, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
		if err != nil || answered != mediaType {
			t.Errorf("%s: media type %q, error %v, want %s", kind, answered, err, mediaType)
		}
		if r.URL.Query().Has("watch") && (response.Uncompressed || response.Header.Get("Content-Encoding") != "") {
			t.Errorf("%s: the answer is compressed, want an uncompressed stream", kind)
		}
		if !strings.Contains(r.Header.Get("Accept"), "drop=metadata.managedFields") {
			t.Errorf("%s: Accept: %s, want it without managedFields", kind, r.Header.Get("Accept"))
		}
		mu.Lock()
		defer mu.Unlock()
		if asked[kind]++; kind == "metadata" && asked[kind] == 1 {
			close(verified)
		}
		return response, nil
	})
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, newClient(t, config), watchsource.WithNamespace(namespace), watchsource.WithVerification(5*time.Second))
	if err := source.Start("app"); err != nil {
		t.Fatal(err)
	}
	defer source.Stop()
	// A verification begins after an event.
	client := admin(t)
	each := time.NewTicker(time.Second)
	defer each.Stop()
	for id, waiting := 0, true; waiting; id++ {
		select {
		case <-verified:
			waiting = false
		case <-each.C:
			create(t, client, executorPod(namespace, "app", id))
		}
		if id > 60 {
			t.Fatal("no verification in a minute of events")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if asked["streaming list"]+asked["list"] == 0 || asked["streaming list"]+asked["watch"] == 0 {
		t.Errorf("requests that were answered: %v, want a list and a watch", asked)
	}
}

func requestKind(r *http.Request) string {
	switch query := r.URL.Query(); {
	case query.Has("sendInitialEvents"):
		return "streaming list"
	case query.Has("watch"):
		return "watch"
	case strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList"):
		return "metadata"
	default:
		return "list"
	}
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Sources that start on a SharedWatch that is open.

// startCrowd starts 50 sources at once, which share a list.
func startCrowd(t *testing.T, server *watchtest.Server, shared *watchsource.SharedWatch) {
	t.Helper()
	for i := range 50 {
		server.Create(podOf(fmt.Sprint("crowd-", i), "1"))
	}
	synctest.Wait()
	before := len(server.Requests())
	server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Delay(time.Second), Times: 1})
	var starting sync.WaitGroup
	for i := range 50 {
		starting.Go(func() {
			store, _ := startShared(t, shared, fmt.Sprint("crowd-", i))
			if store.Snapshot().Len() != 1 {
				t.Errorf("application %d has %d executors, want 1", i, store.Snapshot().Len())
			}
		})
	}
	starting.Wait()
	if n := len(server.Requests()) - before; n > 2 {
		t.Errorf("%d requests for 50 starts at once, want at most 2", n)
	}
}

// A source that starts after the watch has opened costs no request if the watch has shown
// no pod of its application, and one list otherwise. Sources that start while a list is on
// its way share the next.
func TestSharedWatchLateStart(t *testing.T) {
	for _, test := range []struct {
		name   string
		client func(*watchtest.Server) kubernetes.Interface
	}{
		{name: "protobuf", client: func(s *watchtest.Server) kubernetes.Interface { return s.Client() }},
		{name: "JSON", client: func(s *watchtest.Server) kubernetes.Interface { return s.JSONClient() }},
	} {
		inBubble(t, test.name, func(t *testing.T) {
			server := watchtest.NewServer()
			server.Create(podOf("listed", "1"))
			shared := watchsource.NewSharedWatch(test.client(server))
			startShared(t, shared, "first")
			server.Create(podOf("watched", "1"))
			server.Create(podOf("gone", "1"))
			server.Delete("jobs", "gone-1")
			synctest.Wait()

			before := len(server.Requests())
			for _, app := range []string{"unseen", "gone"} {
				store, _ := startShared(t, shared, app)
				if got := store.Snapshot(); got.Len() != 0 || !got.Complete() || got.ResourceVersion() != server.ResourceVersion() {
					t.Errorf("%s: %d executors, complete %v, version %q; want 0, true, %q", app, got.Len(), got.Complete(),
						got.ResourceVersion(), server.ResourceVersion())
				}
			}
			if n := len(server.Requests()) - before; n != 0 {
				t.Errorf("%d requests for applications without pods, want 0", n)
			}
			for i, app := range []string{"listed", "watched"} {
				store, _ := startShared(t, shared, app)
				if got := store.Snapshot(); got.Len() != 1 || !got.Complete() {
					t.Errorf("%s: %d executors, complete %v after Start; want 1, true", app, got.Len(), got.Complete())
				}
				if n := len(server.Requests()) - before; n != i+1 {
					t.Errorf("%d requests after %d late starts, want one for each", n, i+1)
				}
				server.Update("jobs", app+"-1", phase(corev1.PodRunning))
				wantState(t, store, app+"-1", watchsource.Running)
			}
			startCrowd(t, server, shared)
		})
	}
}

// A pod that is created just before a late Start may come after it. The store has it at its
// resource version.
func TestSharedWatchStartRightAfterACreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		startShared(t, shared, "first")
		for i := range 100 {
			app := fmt.Sprint("app-", i)
			created := server.Create(podOf(app, "1"))
			store, _ := startShared(t, shared, app)
			snapshot, err := store.WaitForResourceVersion(t.Context(), created.ResourceVersion)
			if err != nil {
				t.Fatal(err)
			}
			if snapshot.Len() != 1 {
				t.Errorf("%s has %d executors at version %s, want 1", app, snapshot.Len(), snapshot.ResourceVersion())
			}
		}
	})
}

// Events that come while a late application is listed are neither lost nor passed on
// twice, whether the list is older than they are or contains them.
func TestSharedWatchChangesDuringALateList(t *testing.T) {
	for _, test := range []struct {
		name string
		// after is 1 if the server reads the list before the events.
		after int
		want  []string
	}{
		{name: "in the list", after: 0, want: []string{"replace late-0 late-2 late-3 late-4"}},
		{name: "after the list", after: 1, want: []string{
			"replace late-0 late-1 late-2 late-3", "update late-0", "delete late-1", "update late-4", "update late-2",
		}},
	} {
		inBubble(t, test.name, func(t *testing.T) {
			server := watchtest.NewServer()
			for i := range 4 {
				server.Create(podOf("late", fmt.Sprint(i)))
			}
			shared := watchsource.NewSharedWatch(server.Client())
			startShared(t, shared, "first")
			server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Delay(10 * time.Second), After: test.after, Times: 1})
			calls, store := &recordingStore{}, watchsource.NewStore()
			source := shared.Source(watchsource.Tee(calls, store))
			defer source.Stop()
			go func() {
				time.Sleep(5 * time.Second) // the request is on its way
				server.Update("jobs", "late-0", phase(corev1.PodFailed))
				server.Delete("jobs", "late-1")
				server.Create(podOf("late", "4"))
				server.Update("jobs", "late-2", phase(corev1.PodRunning))
				server.Update("jobs", "late-2", phase(corev1.PodSucceeded))
			}()
			start(t, source, "late")
			synctest.Wait()
			if got := calls.all(); !slices.Equal(got, test.want) {
				t.Errorf("the store received %q, want %q", got, test.want)
			}
			wantPods(t, store, "late-0", "late-2", "late-3", "late-4")
			wantState(t, store, "late-0", watchsource.Failed)
			wantState(t, store, "late-2", watchsource.Succeeded)
		})
	}
}

// Each end that comes while a late application is listed is delivered, even if the
// executor runs again before the list arrives.
func TestSharedWatchEndsDuringALateList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podOf("late", "1", container(executorContainer, running())))
		shared := watchsource.NewSharedWatch(server.Client())
		startShared(t, shared, "first")
		server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Delay(10 * time.Second), After: 1, Times: 1})
		store := watchsource.NewStore()
		ends := endsOf(t, store)
		source := shared.Source(store)
		defer source.Stop()
		go func() {
			time.Sleep(5 * time.Second) // the list has been read
			endTwice(server, "late-1")
		}()
		start(t, source, "late")
		if got, want := ends(), []int32{1, 2}; !slices.Equal(got, want) {
			t.Errorf("the reader was shown the exit codes %v, want %v", got, want)
		}
	})
}

// The API server may answer a late list from a cache that is behind the watch. Such a list
// is not passed on.
func TestSharedWatchOldLateList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podOf("late", "1"))
		config := server.Config()
		var replay repeatedList
		config.Wrap(replay.wrap)
		client, err := kubernetes.NewForConfig(config)
		must(t, err)
		shared := watchsource.NewSharedWatch(client)
		startShared(t, shared, "first")
		_, source := startShared(t, shared, "late")
		source.Stop()

		server.Update("jobs", "late-1", phase(corev1.PodRunning))
		synctest.Wait()
		before := server.Count(watchtest.List)
		replay.old.Store(true)
		calls, store := &recordingStore{}, watchsource.NewStore()
		source = shared.Source(watchsource.Tee(calls, store))
		start(t, source, "late")
		defer source.Stop()
		wantState(t, store, "late-1", watchsource.Running)
		if got, want := calls.all(), []string{"replace late-1"}; !slices.Equal(got, want) {
			t.Errorf("the store received %q, want %q", got, want)
		}
		if n := server.Count(watchtest.List) - before; n != 1 {
			t.Errorf("%d lists reached the server after an old one, want 1", n)
		}
		if err := source.Status().Err; err == nil || !strings.Contains(err.Error(), "older") {
			t.Errorf("Status().Err is %v, want the error of the old list", err)
		}
	})
}

// repeatedList is a transport that can answer one list with the answer of the first.
type repeatedList struct {
	old   atomic.Bool
	first []byte
}

func (l *repeatedList) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Has("watch") {
			return next.RoundTrip(r)
		}
		if l.old.CompareAndSwap(true, false) {
			return &http.Response{
				StatusCode: http.StatusOK, Request: r,
				Header: http.Header{"Content-Type": {runtime.ContentTypeProtobuf}},
				Body:   io.NopCloser(bytes.NewReader(l.first)),
			}, nil
		}
		answer, err := next.RoundTrip(r)
		if err == nil && l.first == nil {
			l.first, err = io.ReadAll(answer.Body)
			answer.Body = io.NopCloser(bytes.NewReader(l.first))
		}
		return answer, err
	})
}

// An application that starts while the list of all is on its way receives its pods
// completely, although the first of them were received before.
func TestSharedWatchStartDuringTheFirstList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for i := range 4 {
			server.Create(podOf("first", fmt.Sprint(i), phase(corev1.PodRunning)))
			server.Create(podOf("earlier-name", fmt.Sprint(i), phase(corev1.PodRunning)))
		}
		server.Inject(watchtest.Fault{On: watchtest.StreamingList, Do: watchtest.Slow(200, time.Second), Times: 1})
		shared := watchsource.NewSharedWatch(server.Client())
		one, two := watchsource.NewStore(), watchsource.NewStore()
		first, second := shared.Source(one), shared.Source(two)
		defer first.Stop()
		defer second.Stop()
		var starting sync.WaitGroup
		starting.Go(func() { start(t, first, "first") })
		time.Sleep(5 * time.Second) // pods of earlier-name have been decoded in part
		starting.Go(func() { start(t, second, "earlier-name") })
		starting.Wait()
		for i := range 4 {
			wantState(t, one, fmt.Sprint("first-", i), watchsource.Running)
			wantState(t, two, fmt.Sprint("earlier-name-", i), watchsource.Running)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// The tests of the guarantees and the model test run over sources of a shared watch too.
// This file tests what several applications on one watch add.

// podOf makes an executor pod of an application.
func podOf(app, id string, options ...func(*corev1.Pod)) *corev1.Pod {
	p := pod(id, append(options, label(watchsource.LabelApp, app))...)
	p.Name = app + "-" + id
	return p
}

func startShared(t *testing.T, shared *watchsource.SharedWatch, app string) (*watchsource.Store, *watchsource.WatchSnapshotSource) {
	t.Helper()
	store := watchsource.NewStore()
	source := shared.Source(store)
	start(t, source, app)
	t.Cleanup(source.Stop)
	return store, source
}

// wantPods fails unless the store has exactly the named pods.
func wantPods(t *testing.T, store *watchsource.Store, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for e := range store.Snapshot().All() {
		got = append(got, e.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the store has %q, want %q", got, want)
	}
}

// A thousand sources that start at the same time cost one list and one watch. The watch
// closes with the last of them.
func TestSharedWatchIsOneWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps = 1000
		server := watchtest.NewServer()
		for i := range apps {
			server.Create(podOf(fmt.Sprint("app-", i), "1"))
		}
		shared := watchsource.NewSharedWatch(server.Client())
		stores := make([]*watchsource.Store, apps)
		sources := make([]*watchsource.WatchSnapshotSource, apps)
		var starting sync.WaitGroup
		for i := range apps {
			stores[i] = watchsource.NewStore()
			sources[i] = shared.Source(stores[i])
			starting.Go(func() { start(t, sources[i], fmt.Sprint("app-", i)) })
		}
		starting.Wait()
		if n := len(server.Requests()); n > 3 {
			t.Errorf("%d requests for %d sources, want at most 3", n, apps)
		}
		for i, store := range stores {
			if got := store.Snapshot(); got.Len() != 1 || !got.Complete() {
				t.Fatalf("application %d has %d executors, complete %v; want 1, true", i, got.Len(), got.Complete())
			}
		}
		for _, source := range sources[1:] {
			source.Stop()
		}
		synctest.Wait()
		if n := len(server.Streams()); n != 1 {
			t.Errorf("%d streams while a source is started, want 1", n)
		}
		server.Update("jobs", "app-0-1", phase(corev1.PodRunning))
		wantState(t, stores[0], "app-0-1", watchsource.Running)
		sources[0].Stop()
		if n := len(server.Streams()); n != 0 {
			t.Errorf("%d streams after the last Stop, want 0", n)
		}
		start(t, sources[0], "app-0") // opens it again
		sources[0].Stop()
	})
}

func wantState(t *testing.T, store *watchsource.Store, name string, want watchsource.State) {
	t.Helper()
	synctest.Wait()
	if e, ok := store.Snapshot().Get(name); !ok || e.State != want {
		t.Errorf("%s is present %v in state %v, want true, %v", name, ok, e.State, want)
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
					t.Errorf("%s: %d executors, complete %v, version %q; want 0, true, %q", app, got.Len(), got.Complete(), got.ResourceVersion(), server.ResourceVersion())
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

			for i := range 50 {
				server.Create(podOf(fmt.Sprint("crowd-", i), "1"))
			}
			synctest.Wait()
			before = len(server.Requests())
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
		name  string
		after int // 1 if the server reads the list before the events
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

// A store that blocks receives each end, although the states that wait for it are merged.
func TestSharedWatchBlockedStoreReceivesEachEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, gated, ends := startBlocked(t)
		for i := range 2000 { // states are merged from the 1,024th on
			server.Update("jobs", "slow-0", annotate("step", fmt.Sprint(i)))
		}
		server.Create(podOf("slow", "1", container(executorContainer, running())))
		endTwice(server, "slow-1")
		server.Create(podOf("slow", "2"))
		server.Update("jobs", "slow-2", run("run-1", 0, endedRun("run-1", 3), corev1.ContainerState{}))
		server.Update("jobs", "slow-2", annotate("step", "merged"))
		server.Update("jobs", "slow-2", run("run-2", 1, running(), endedRun("run-1", 3)))
		server.Update("jobs", "slow-2", run("run-2", 1, endedRun("run-2", 4), endedRun("run-1", 3)))
		server.Update("jobs", "slow-2", run("run-3", 2, endedRun("run-3", 5), endedRun("run-2", 4)))
		server.Create(podOf("slow", "3"))
		server.Update("jobs", "slow-3", run("run-1", 0, endedRun("run-1", 6), corev1.ContainerState{}))
		server.Update("jobs", "slow-3", run("run-2", 1, running(), endedRun("run-1", 6)))
		server.Update("jobs", "slow-3", run("run-2", 1, endedRun("run-2", 7), endedRun("run-1", 6)))
		server.Update("jobs", "slow-3", run("run-2", 1, waiting("CrashLoopBackOff"), endedRun("run-2", 7)))
		for i := range 10 {
			server.Update("jobs", "slow-1", annotate("step", fmt.Sprint(i)))
		}
		if got, want := ends(), []int32{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(got, want) {
			t.Errorf("the reader was shown the exit codes %v, want %v", got, want)
		}
		var states []string
		for _, call := range gated.calls {
			if strings.HasPrefix(call, "update slow-2") || strings.HasPrefix(call, "update slow-3") {
				states = append(states, call)
			}
		}
		want := []string{
			"update slow-2 Pending ended 3", "update slow-2 Pending ended 4", "update slow-2 Pending ended 5",
			"update slow-3 Pending ended 6", "update slow-3 Pending ended 7", "update slow-3 Pending",
		}
		if !slices.Equal(states, want) {
			t.Errorf("the store received %q, want %q", states, want)
		}
	})
}

// startBlocked starts a source of the application slow. Its store blocks in the call for
// the pod slow-0. The function ends unblocks the store and returns the exit codes that a
// reader was shown.
func startBlocked(t *testing.T) (server *watchtest.Server, gated *gatedStore, ends func() []int32) {
	t.Helper()
	server = watchtest.NewServer()
	store := watchsource.NewStore()
	shown := endsOf(t, store)
	gated = &gatedStore{gate: make(chan struct{})}
	source := watchsource.NewSharedWatch(server.Client()).Source(watchsource.Tee(gated, store))
	start(t, source, "slow")
	t.Cleanup(source.Stop)
	server.Create(podOf("slow", "0"))
	synctest.Wait()
	return server, gated, func() []int32 {
		synctest.Wait()
		close(gated.gate)
		return shown()
	}
}

// endTwice lets a pod's container end with exit code 1, run again, end with 2, and run
// again. Only the last states of the container show the ends.
func endTwice(server *watchtest.Server, name string) {
	server.Update("jobs", name, run("run-2", 1, running(), endedRun("run-1", 1)))
	server.Update("jobs", name, run("run-3", 2, running(), endedRun("run-2", 2)))
}

// run sets the status of the container: the ID of the run and its state, and the state of
// the run before.
func run(id string, restarts int32, state, last corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: executorContainer, ContainerID: id, RestartCount: restarts, State: state, LastTerminationState: last,
		}}
	}
}

func endedRun(id string, exitCode int32) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: id, ExitCode: exitCode}}
}

func annotate(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{key: value} }
}

// endsOf reads a store's changes. The function that it returns waits until the reader has
// received all, and returns the exit codes of the ends in ascending order.
func endsOf(t *testing.T, store *watchsource.Store) (ends func() []int32) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var exitCodes []int32
	go func() {
		for batch := range store.Batches(ctx, 0) {
			for _, change := range batch.Changes {
				if change.Ended {
					exitCodes = append(exitCodes, change.After.ExitCode)
				}
			}
		}
	}()
	synctest.Wait()
	return func() []int32 {
		synctest.Wait()
		return slices.Sorted(slices.Values(exitCodes))
	}
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

// A store that blocks during many lists receives the ends that came between them, and the
// ends that only a list showed.
func TestSharedWatchBlockedStoreReceivesEndsOfLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, gated, ends := startBlocked(t)
		relist := func(whileClosed func()) {
			synctest.Wait()
			lists := completeLists(server)
			changeWhileAway(server, func() {
				whileClosed()
				server.Advance(1)
				server.Compact()
			})
			time.Sleep(2 * time.Minute)
			if n := completeLists(server) - lists; n != 1 {
				t.Fatalf("%d lists after the version was compacted, want 1", n)
			}
		}
		unchanged := func() {}
		relist(unchanged)
		for _, id := range []string{"1", "2", "3"} {
			server.Create(podOf("slow", id, container(executorContainer, running())))
		}
		endTwice(server, "slow-1")
		server.Update("jobs", "slow-2", run("run-1", 0, endedRun("run-1", 3), corev1.ContainerState{}))
		relist(func() { server.Delete("jobs", "slow-2") })
		relist(func() {
			server.Update("jobs", "slow-3", run("run-1", 0, endedRun("run-1", 4), corev1.ContainerState{}))
		})
		relist(func() { server.Delete("jobs", "slow-3") })
		for range 8 {
			relist(unchanged)
		}
		if got, want := ends(), []int32{1, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("the reader was shown the exit codes %v, want %v", got, want)
		}
		if gated.lists > 7 {
			t.Errorf("the store received %d lists, want those that waited dropped", gated.lists)
		}
	})
}

// A wait for a version ends once the watch has passed it, although no event of the
// application brings it.
func TestSharedWatchWaitForResourceVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		store, source := startShared(t, shared, "one")
		began := time.Now()

		past := server.Create(podOf("other", "1")).ResourceVersion
		synctest.Wait()
		if store.Snapshot().Contains(past) {
			t.Fatal("the version has advanced before the wait, want it as before")
		}
		_, err := store.WaitForResourceVersion(t.Context(), past)
		must(t, err)

		var waiting sync.WaitGroup
		next, _ := strconv.ParseUint(past, 10, 64)
		for range 3 {
			waiting.Go(func() {
				snapshot, err := store.WaitForResourceVersion(t.Context(), fmt.Sprint(next+2))
				if err != nil || snapshot.Len() != 1 {
					t.Errorf("%d executors, error %v; want 1, <nil>", snapshot.Len(), err)
				}
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		waiting.Go(func() {
			if _, err := store.WaitForResourceVersion(ctx, fmt.Sprint(next+1000)); !errors.Is(err, context.Canceled) {
				t.Errorf("a wait whose context ends returns %v, want context.Canceled", err)
			}
		})
		synctest.Wait()
		cancel() // the other waits go on
		synctest.Wait()
		server.Create(podOf("one", "1"))
		server.Create(podOf("other", "2"))
		waiting.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("the waits took %v, want none", took)
		}

		later := server.Create(podOf("other", "3")).ResourceVersion
		synctest.Wait()
		if store.Snapshot().Contains(later) {
			t.Error("the version advances after the waits have ended, want only with bookmarks")
		}
		source.Stop()
		if _, err := store.WaitForResourceVersion(t.Context(), later); !errors.Is(err, watchsource.ErrStopped) {
			t.Errorf("a wait after Stop returns %v, want ErrStopped", err)
		}
	})
}

// A pod whose application label changes leaves the first application once and enters the
// second, whether or not each of them is started.
func TestSharedWatchRelabelledPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		one, _ := startShared(t, shared, "one")
		two, _ := startShared(t, shared, "two")
		server.Create(podOf("one", "1"))
		wantPods(t, one, "one-1")
		server.Update("jobs", "one-1", label(watchsource.LabelApp, "two"))
		wantPods(t, one)
		wantPods(t, two, "one-1")
		server.Update("jobs", "one-1", label(watchsource.LabelApp, "three")) // not started
		wantPods(t, two)
		server.Update("jobs", "one-1", phase(corev1.PodRunning))
		server.Update("jobs", "one-1", label(watchsource.LabelApp, "one"))
		wantPods(t, one, "one-1")
		wantState(t, one, "one-1", watchsource.Running)
		server.Update("jobs", "one-1", func(p *corev1.Pod) { delete(p.Labels, watchsource.LabelApp) })
		wantPods(t, one)
	})
}

// After a 410 there is one list, and each application receives its part, also an empty one.
func TestSharedWatchRelist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podOf("one", "1"))
		server.Create(podOf("two", "1"))
		shared := watchsource.NewSharedWatch(server.Client())
		one, source := startShared(t, shared, "one")
		two, _ := startShared(t, shared, "two")
		empty := &recordingStore{}
		third := shared.Source(empty)
		start(t, third, "three")
		defer third.Stop()
		synctest.Wait()
		replaced := len(empty.all())

		lists := completeLists(server)
		changeWhileAway(server, func() {
			server.Delete("jobs", "one-1")
			server.Create(podOf("two", "2"))
			server.Compact()
		})
		time.Sleep(time.Minute)
		wantPods(t, one)
		wantPods(t, two, "two-1", "two-2")
		if n := completeLists(server) - lists; n != 1 {
			t.Errorf("%d lists after a 410, want 1", n)
		}
		if got := empty.all()[replaced:]; len(got) == 0 || !strings.HasPrefix(got[0], "replace") {
			t.Errorf("an application without pods received %q, want a list", got)
		}
		if got := source.Status(); got.Relists != 1 || got.Phase != watchsource.Watching {
			t.Errorf("%d relists in phase %v, want 1, Watching", got.Relists, got.Phase)
		}
	})
}

// A store that blocks delays no other application. What waits for it is bounded by its
// pods, and each end reaches it.
func TestSharedWatchBlockedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		free := make(chan struct{})
		blocked := &gatedStore{gate: free}
		slow := shared.Source(blocked)
		start(t, slow, "slow")
		store, _ := startShared(t, shared, "fast")
		server.Create(podOf("slow", "1"))
		server.Create(podOf("slow", "2"))
		for i := range 5000 {
			server.Update("jobs", "slow-1", func(p *corev1.Pod) { p.Annotations = map[string]string{"step": fmt.Sprint(i)} })
		}
		server.Update("jobs", "slow-2", phase(corev1.PodFailed))
		server.Delete("jobs", "slow-2")
		server.Create(podOf("fast", "1"))
		wantPods(t, store, "fast-1")
		close(free)
		synctest.Wait()
		slow.Stop()
		if n := len(blocked.calls); n > 2000 {
			t.Errorf("the blocked store received %d calls, want the states of a pod merged", n)
		}
		if !slices.Contains(blocked.calls, "update slow-2 Failed") || blocked.calls[len(blocked.calls)-1] != "delete slow-2 Failed" {
			t.Errorf("the blocked store received %q last, want the end and the deletion of slow-2", blocked.calls[max(0, len(blocked.calls)-3):])
		}
	})
}

// gatedStore is a store whose calls for pods wait for a gate.
type gatedStore struct {
	gate  chan struct{}
	calls []string
	lists int
}

func (s *gatedStore) record(call string, p *corev1.Pod) {
	<-s.gate
	call += " " + p.Name + " " + string(p.Status.Phase)
	for _, status := range p.Status.ContainerStatuses {
		if end := status.State.Terminated; end != nil {
			call += fmt.Sprint(" ended ", end.ExitCode)
		}
	}
	s.calls = append(s.calls, call)
}

func (s *gatedStore) UpdatePod(p *corev1.Pod)       { s.record("update", p) }
func (s *gatedStore) DeletePod(p *corev1.Pod)       { s.record("delete", p) }
func (s *gatedStore) ReplaceSnapshot([]*corev1.Pod) { s.lists++ }

// The failure, the Stop or the context of one application does not affect another.
func TestSharedWatchApplicationsAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podOf("forbidden", "1"))
		shared := watchsource.NewSharedWatch(server.Client())
		ctx, cancel := context.WithCancel(t.Context())
		first := shared.Source(watchsource.NewStore())
		ran := make(chan error)
		go func() { ran <- first.Run(ctx, "first") }()
		synctest.Wait()
		store, source := startShared(t, shared, "second")

		cancel() // of the source that opened the watch
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		lift := server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role")))})
		err := shared.Source(watchsource.NewStore()).Start("forbidden")
		if !apierrors.IsForbidden(err) {
			t.Errorf("Start = %v, want forbidden", err)
		}
		lift()
		lift = server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Hang()})
		err = shared.Source(watchsource.NewStore()).Start("forbidden")
		if !apierrors.IsTimeout(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Start = %v, want a timeout", err)
		}
		lift()
		if err := source.Start("third"); !errors.Is(err, watchsource.ErrAlreadyStarted) {
			t.Errorf("Start = %v, want %v", err, watchsource.ErrAlreadyStarted)
		}
		server.Create(podOf("second", "1"))
		wantPods(t, store, "second-1")
		if got := source.Status(); got.Phase != watchsource.Watching || got.AppID != "second" || got.Relists != 0 {
			t.Errorf("%v of %q after %d relists, want Watching of second after 0", got.Phase, got.AppID, got.Relists)
		}
		late, _ := startShared(t, shared, "forbidden")
		wantPods(t, late, "forbidden-1")
	})
}

// Two sources of one application have the same view.
func TestSharedWatchTwoSourcesOfOneApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		one, first := startShared(t, shared, "app")
		server.Create(podOf("app", "1"))
		synctest.Wait()
		two, _ := startShared(t, shared, "app")
		wantPods(t, one, "app-1")
		wantPods(t, two, "app-1")
		first.Stop()
		server.Create(podOf("app", "2"))
		wantPods(t, one, "app-1")
		wantPods(t, two, "app-1", "app-2")
	})
}

// A trouble is logged once, and not once for each application. A source that starts while
// the watch is down waits for it.
func TestSharedWatchTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		var lines logLines
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithLogger(lines.logger(0)), watchsource.WithStartTimeout(2*time.Minute))
		var sources []*watchsource.WatchSnapshotSource
		for i := range 20 {
			_, source := startShared(t, shared, fmt.Sprint("app-", i))
			sources = append(sources, source)
		}
		lift := server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(time.Minute)
		if n := len(lines.matching("Watch interrupted")); n != 1 {
			t.Errorf("%d log lines about the interruption, want 1", n)
		}
		for _, source := range sources {
			if got := source.Status(); got.Phase != watchsource.Retrying || got.Err == nil || source.Healthy(30*time.Second) == nil {
				t.Fatalf("phase %v, error %v, want Retrying and an error, and not healthy", got.Phase, got.Err)
			}
		}
		server.Create(podOf("late", "1"))
		time.AfterFunc(10*time.Second, lift)
		store, _ := startShared(t, shared, "late")
		wantPods(t, store, "late-1")
		time.Sleep(time.Minute)
		if n := len(lines.matching("Watch restored")); n != 1 {
			t.Errorf("%d log lines about the recovery, want 1", n)
		}
	})
}

// The label that holds the application id comes from the selector.
func TestSharedWatchRoutingLabel(t *testing.T) {
	for _, test := range []struct {
		name     string
		selector func(appID string) string
		request  string // the selector of the watch, "" for an error
	}{
		{name: "one label", selector: func(id string) string { return "job=" + id }, request: "job"},
		{name: "a set of one", selector: func(id string) string { return "job in (" + id + "),role!=driver" }, request: "job,role!=driver"},
		{name: "the same for all", selector: func(string) string { return "job=a" }},
		{name: "two labels", selector: func(id string) string { return "job=" + id + ",owner=" + id }},
		{name: "a part of the label", selector: func(id string) string { return "job=x-" + id }},
		{name: "unequal", selector: func(id string) string { return "job!=" + id }},
		{name: "another key", selector: func(id string) string { return id + "=true" }},
	} {
		inBubble(t, test.name, func(t *testing.T) {
			server := watchtest.NewServer()
			shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithSelector(func(id string) labels.Selector {
				return selectorOf(t, test.selector(id))
			}))
			source := shared.Source(watchsource.NewStore())
			err := source.Start("app")
			defer source.Stop()
			if test.request == "" {
				if err == nil || !strings.Contains(err.Error(), "exactly one label") || len(server.Requests()) > 0 {
					t.Errorf("Start = %v after %d requests, want an error that says \"exactly one label\" after none", err, len(server.Requests()))
				}
				return
			}
			must(t, err)
			if got := server.Requests()[0].Options.LabelSelector; got != test.request {
				t.Errorf("the watch has the selector %q, want %q", got, test.request)
			}
		})
	}
}

// The shared watch works with client-go's fake clientset, which has no versions and ignores
// selectors.
func TestSharedWatchFakeClientset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(podOf("one", "1"), podOf("two", "1"))
		shared := watchsource.NewSharedWatch(client)
		one, _ := startShared(t, shared, "one")
		two, _ := startShared(t, shared, "two")
		if _, err := client.CoreV1().Pods("jobs").Create(t.Context(), podOf("three", "1"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		three, _ := startShared(t, shared, "three")
		wantPods(t, one, "one-1")
		wantPods(t, two, "two-1")
		wantPods(t, three, "three-1")
	})
}

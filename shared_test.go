// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
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

// wantNoVersionWithoutAWait fails if events of other applications advance the version of a store
// while nothing waits for it, or if a wait after Stop succeeds.
func wantNoVersionWithoutAWait(t *testing.T, server *watchtest.Server, store *watchsource.Store, source *watchsource.WatchSnapshotSource) {
	t.Helper()
	later := server.Create(podOf("other", "3")).ResourceVersion
	synctest.Wait()
	if store.Snapshot().Contains(later) {
		t.Error("the version advances after the waits have ended, want only with bookmarks")
	}
	source.Stop()
	if _, err := store.WaitForResourceVersion(t.Context(), later); !errors.Is(err, watchsource.ErrStopped) {
		t.Errorf("a wait after Stop returns %v, want ErrStopped", err)
	}
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
		wantNoVersionWithoutAWait(t, server, store, source)
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
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithLogger(lines.logger(0)),
			watchsource.WithStartTimeout(2*time.Minute))
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
		// request is the selector of the watch, "" for an error.
		request string
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

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Calls that wait for a version of several namespaces.

// quickWait is the longest time that such a call may take: kube-apiserver sends a bookmark a second
// after the beginning of a watch that it is asked to end after three.
const quickWait = 2 * time.Second

// A waitingStore is a Store, or a StoreBy of which the owner has all pods.
type waitingStore struct {
	watchsource.SnapshotsStore
	waitForVersion func(ctx context.Context, version string) (watchsource.Snapshot, error)
	waitForEnd     endWait
}

func waitingStores() map[string]waitingStore {
	one := watchsource.NewStore()
	divided := watchsource.NewStoreBy(func(metav1.Object) (string, bool) { return "all", true })
	return map[string]waitingStore{
		"Store": {one, one.WaitForResourceVersion, one.WaitForEnd},
		"StoreBy": {
			divided,
			func(ctx context.Context, version string) (watchsource.Snapshot, error) {
				return divided.WaitForResourceVersion(ctx, "all", version)
			},
			func(ctx context.Context, pod, version string) (watchsource.Executor, error) {
				return divided.WaitForEnd(ctx, "all", pod, version)
			},
		},
	}
}

// eachWaitingStore runs a test in a bubble for each store, with a source that is started.
func eachWaitingStore(t *testing.T, test func(t *testing.T, env *namespacesEnv, store waitingStore)) {
	for _, name := range []string{"Store", "StoreBy"} {
		inBubble(t, name, func(t *testing.T) {
			env, store := newNamespacesEnv(t), waitingStores()[name]
			env.source = env.startFor(store.SnapshotsStore)
			test(t, env, store)
		})
	}
}

// asked returns the namespaces in which a bookmark was asked for, in the order of their names.
func (e *namespacesEnv) asked() string {
	var asked []string
	for _, r := range e.server.Requests() {
		if isAsking(r) {
			asked = append(asked, r.Namespace)
		}
	}
	slices.Sort(asked)
	return strings.Join(asked, " ")
}

// isAsking reports whether a request is a short watch that asks for a bookmark.
func isAsking(r watchtest.Request) bool {
	return r.Verb == watchtest.Watch && r.Options.TimeoutSeconds != nil && *r.Options.TimeoutSeconds == 3
}

// asking returns the number of short watches that are open.
func (e *namespacesEnv) asking() (n int) {
	for _, stream := range e.server.Streams() {
		if isAsking(stream.Request()) {
			n++
		}
	}
	return n
}

// wantAsked fails unless a bookmark was asked for in these namespaces.
func (e *namespacesEnv) wantAsked(when, want string) {
	e.t.Helper()
	synctest.Wait()
	if got := e.asked(); got != want {
		e.t.Errorf("%s: bookmarks asked for in the namespaces %q, want %q", when, got, want)
	}
}

// A version that one namespace has reached comes at once from the others, although nothing happens in
// them. Each of them is asked once, with the selector of the watch.
func TestNamespacesWaitForVersion(t *testing.T) {
	eachWaitingStore(t, func(t *testing.T, env *namespacesEnv, store waitingStore) {
		time.Sleep(10 * time.Second)
		created := env.create("a", "1").ResourceVersion
		began := time.Now()
		snapshot, err := store.waitForVersion(t.Context(), created)
		if took := time.Since(began); err != nil || took > quickWait {
			t.Errorf("WaitForResourceVersion = %v after %v, want nil after at most %v", err, took, quickWait)
		}
		if !snapshot.Contains(created) || names(snapshot) != "exec-a-1=Running" {
			t.Errorf("the snapshot has %q at version %q, want exec-a-1 at %s", names(snapshot), snapshot.ResourceVersion(), created)
		}
		env.wantAsked("after the wait", "b c")
		if got := env.source.Status(); got.ResourceVersion != created || got.Events != 1 {
			t.Errorf("Status has version %s and %d events, want %s and 1", got.ResourceVersion, got.Events, created)
		}
		for _, r := range env.server.Requests() {
			if isAsking(r) && (r.Options.LabelSelector != executors || !r.Options.AllowWatchBookmarks) {
				t.Errorf("the bookmark is asked for with %+v, want the selector %s and bookmarks allowed", r.Options, executors)
			}
		}
		time.Sleep(10 * time.Second)
		if env.asking() > 0 {
			t.Errorf("%d short watches are open after the wait, want none", env.asking())
		}
		created = env.create("b", "1").ResourceVersion
		began = time.Now()
		if _, err := store.waitForVersion(t.Context(), created); err != nil || time.Since(began) > quickWait {
			t.Errorf("the second WaitForResourceVersion = %v after %v, want nil after at most %v", err, time.Since(began), quickWait)
		}
		env.wantAsked("after the second wait", "a b c c")
	})
}

// A call is as quick if it waits before the event of the version comes, and also if it has waited
// since before Start.
func TestNamespacesWaitBeforeTheVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		first := number(env.server.ResourceVersion())
		one := env.wait(t.Context(), fmt.Sprint(first+1))
		env.start()
		two := env.wait(t.Context(), fmt.Sprint(first+2))
		began := time.Now()
		time.Sleep(5 * time.Minute)
		env.wantAsked("nothing has happened", "")
		env.create("c", "1")
		created := time.Since(began)
		time.Sleep(quickWait)
		env.create("a", "1")
		time.Sleep(quickWait)
		synctest.Wait()
		if !one.returned || !two.returned || one.took > created+quickWait || two.took > created+2*quickWait {
			t.Errorf("calls %+v and %+v, want both to return within %v", one, two, quickWait)
		}
	})
}

// WaitForEnd of a pod that has left while the watch of its namespace was away reports that without
// waiting for the bookmarks of the other namespaces.
func TestNamespacesWaitForEndOfALostPod(t *testing.T) {
	eachWaitingStore(t, func(t *testing.T, env *namespacesEnv, store waitingStore) {
		time.Sleep(time.Second)
		lift := env.inject("a", watchtest.Fault{Do: watchtest.Refuse()})
		env.strike("a", watchtest.SendError(apierrors.NewResourceExpired("too old")))
		synctest.Wait()
		created := env.create("a", "1").ResourceVersion
		env.delete("a", "1")
		lift()
		time.Sleep(20 * time.Second)
		env.wantAsked("nobody waits", "")
		began := time.Now()
		_, err := store.waitForEnd(t.Context(), "a/exec-a-1", created)
		if took := time.Since(began); !apierrors.IsNotFound(err) || took > quickWait {
			t.Errorf("WaitForEnd = %v after %v, want NotFound after at most %v", err, took, quickWait)
		}
	})
}

// The version of the server is asked for beside the watch for a bookmark, once for each: kube-apiserver
// sends no bookmark before its cache has advanced. Without the right to list the wait is as quick here.
func TestNamespacesWaitLetsTheCacheAdvance(t *testing.T) {
	for _, denied := range []bool{false, true} {
		inBubble(t, fmt.Sprint("no right to list: ", denied), func(t *testing.T) {
			env := newNamespacesEnv(t)
			env.start()
			if denied {
				env.server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Answer(forbidden)})
			}
			began := time.Now()
			_, err := env.store.WaitForResourceVersion(t.Context(), env.create("a", "1").ResourceVersion)
			if took := time.Since(began); err != nil || took > quickWait {
				t.Errorf("WaitForResourceVersion = %v after %v, want nil after at most %v", err, took, quickWait)
			}
			var listed []string
			for _, r := range env.server.Requests() {
				if r.Verb == watchtest.List {
					listed = append(listed, r.Namespace+" "+r.Options.FieldSelector+r.Options.ResourceVersion)
				}
			}
			slices.Sort(listed)
			want := []string{"b metadata.name=watchsource-version", "c metadata.name=watchsource-version"}
			if !slices.Equal(listed, want) {
				t.Errorf("lists %q, want %q", listed, want)
			}
		})
	}
}

// Several calls that wait share the requests.
func TestNamespacesWaitsShareRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.start()
		time.Sleep(time.Second)
		var results []*waitResult
		for i := range 10 {
			results = append(results, env.wait(t.Context(), env.create("a", fmt.Sprint(i)).ResourceVersion))
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(quickWait)
		synctest.Wait()
		for i, result := range results {
			if !result.returned || result.err != nil {
				t.Errorf("call %d: %+v, want a return within %v", i, result, quickWait)
			}
		}
		env.wantAsked("after ten calls", "b c")
	})
}

// Nothing is asked for while no call waits, and in no namespace that has come far enough for all calls.
func TestNamespacesAskOnlyWhenNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.start()
		first := env.server.ResourceVersion()
		for i := range 300 {
			env.create("a", fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		env.wantAsked("nobody waits", "")
		if _, err := env.store.WaitForResourceVersion(t.Context(), first); err != nil {
			t.Error(err)
		}
		env.wantAsked("the version is there", "")
		created := env.create("a", "x").ResourceVersion
		env.create("b", "x")
		env.create("a", "y")
		synctest.Wait()
		if _, err := env.store.WaitForResourceVersion(t.Context(), created); err != nil {
			t.Error(err)
		}
		env.wantAsked("b has come farther than the call waits for", "c")
	})
}

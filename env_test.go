// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// A testEnv is what most tests of the watch begin with: a server, a store, and a source of one of
// the constructors.
type testEnv struct {
	t         *testing.T
	newSource modeltest.NewSource
	server    *watchtest.Server
	store     *watchsource.Store
	// source is nil before start.
	source *watchsource.WatchSnapshotSource
}

func newEnv(t *testing.T, newSource modeltest.NewSource, options ...watchtest.Option) *testEnv {
	return &testEnv{t: t, newSource: newSource, server: watchtest.NewServer(options...), store: watchsource.NewStore()}
}

// start makes the source and starts it for application "app". The test's cleanup stops it.
func (e *testEnv) start(options ...watchsource.Option) {
	e.t.Helper()
	e.source = startSource(e.t, e.newSource, e.server, e.store, options...)
}

// create creates the pod exec-ID.
func (e *testEnv) create(id string, options ...func(*corev1.Pod)) *corev1.Pod {
	return e.server.Create(pod(id, options...))
}

// update changes the pod exec-ID.
func (e *testEnv) update(id string, change func(*corev1.Pod)) {
	e.server.Update(podtest.Namespace, "exec-"+id, change)
}

// delete deletes the pod exec-ID.
func (e *testEnv) delete(id string) { e.server.Delete(podtest.Namespace, "exec-"+id) }

// wantEqualToList fails unless the store has exactly the pods that the server lists.
func (e *testEnv) wantEqualToList() {
	e.t.Helper()
	wantEqualToList(e.t, e.server, e.store)
}

// startSource starts a source for application "app". The test's cleanup stops it.
func startSource(t *testing.T, newSource modeltest.NewSource, server *watchtest.Server, store watchsource.SnapshotsStore, opts ...watchsource.Option) *watchsource.WatchSnapshotSource {
	t.Helper()
	source := newSource(store, server.Client(), opts...)
	start(t, source, "app")
	t.Cleanup(source.Stop)
	return source
}

// wantEqualToList fails unless the store has exactly the pods that the server lists.
func wantEqualToList(t *testing.T, server *watchtest.Server, store *watchsource.Store) {
	t.Helper()
	synctest.Wait()
	snapshot := store.Snapshot()
	want := server.List(executors)
	if snapshot.Len() != len(want) {
		t.Fatalf("%d executors, want %d as in a LIST", snapshot.Len(), len(want))
	}
	for i := range want {
		e, ok := snapshot.Get(want[i].Name)
		if !ok {
			t.Fatalf("the snapshot lacks %s, want it as in a LIST", want[i].Name)
		}
		want[i].ManagedFields = nil
		if !podtest.Equal(keptPod(t, e), &want[i]) {
			t.Errorf("%s at version %s differs from the LIST, want it at version %s", e.Name, e.ResourceVersion, want[i].ResourceVersion)
		}
	}
}

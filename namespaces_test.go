// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// A source of several namespaces, with a watch for each.

// A namespacesEnv is a server, and a source of the namespaces a, b and c.
type namespacesEnv struct {
	t      *testing.T
	server *watchtest.Server
	store  *watchsource.Store
	source *watchsource.WatchSnapshotSource
}

func newNamespacesEnv(t *testing.T, opts ...watchtest.Option) *namespacesEnv {
	return &namespacesEnv{t: t, server: watchtest.NewServer(opts...), store: watchsource.NewStore()}
}

// start starts a source of the store of the env. The test's cleanup stops it.
func (e *namespacesEnv) start(opts ...watchsource.Option) {
	e.t.Helper()
	e.source = e.startFor(e.store, opts...)
}

func (e *namespacesEnv) startFor(store watchsource.SnapshotsStore, opts ...watchsource.Option) *watchsource.WatchSnapshotSource {
	e.t.Helper()
	opts = append([]watchsource.Option{watchsource.WithNamespaces("a", "b", "c")}, opts...)
	source := watchsource.NewWatchSnapshotSource(store, e.server.Client(), opts...)
	start(e.t, source, "app")
	e.t.Cleanup(source.Stop)
	return source
}

// create creates the pod exec-NAMESPACE-ID.
func (e *namespacesEnv) create(namespace, id string, options ...func(*corev1.Pod)) *corev1.Pod {
	return e.server.Create(podIn(namespace, id, append(options, phase(corev1.PodRunning))...))
}

func (e *namespacesEnv) delete(namespace, id string) {
	e.server.Delete(namespace, "exec-"+namespace+"-"+id)
}

// inject makes the requests of a namespace fail.
func (e *namespacesEnv) inject(namespace string, f watchtest.Fault) (lift func()) {
	f.If = func(r watchtest.Request) bool { return r.Namespace == namespace }
	return e.server.Inject(f)
}

// strike applies an effect to the streams of a namespace.
func (e *namespacesEnv) strike(namespace string, effect watchtest.Effect) {
	for _, stream := range e.server.Streams() {
		if stream.Request().Namespace == namespace {
			stream.Strike(effect)
		}
	}
}

// want fails unless the store has these executors, by their names without exec.
func (e *namespacesEnv) want(want string) {
	e.t.Helper()
	synctest.Wait()
	var has []string
	for executor := range e.store.Snapshot().All() {
		has = append(has, strings.TrimPrefix(executor.Name, "exec-"))
	}
	if got := strings.Join(has, " "); got != want {
		e.t.Errorf("the store has %q, want %q", got, want)
	}
}

// wantVersion fails unless the store is at a version.
func (e *namespacesEnv) wantVersion(when, want string) {
	e.t.Helper()
	synctest.Wait()
	if got, status := e.store.Snapshot().ResourceVersion(), e.source.Status().ResourceVersion; got != want || status != want {
		e.t.Errorf("%s: the store is at version %q and Status at %q, want %q", when, got, status, want)
	}
}

// The store first receives the pods of all namespaces, and no others. One watch is open for each
// namespace, and no request is made for all namespaces.
func TestNamespacesAreOneView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		for _, namespace := range []string{"a", "b", "other"} {
			env.create(namespace, "1")
			env.create(namespace, "2")
		}
		user := new(observing)
		env.start()
		env.startFor(user)
		if s := env.store.Snapshot(); !s.Complete() || s.ResourceVersion() != env.server.ResourceVersion() {
			t.Errorf("complete %v at version %q after Start, want true at %q", s.Complete(), s.ResourceVersion(), env.server.ResourceVersion())
		}
		env.want("a-1 a-2 b-1 b-2")
		env.create("c", "1")
		env.create("other", "3")
		env.want("a-1 a-2 b-1 b-2 c-1")
		env.delete("a", "2")
		env.want("a-1 b-1 b-2 c-1")
		version := func(n int) string { return fmt.Sprint("version ", n) }
		first := version(99996)
		want := []string{"replace exec-a-1 exec-a-2 exec-b-1 exec-b-2", first, "update exec-c-1", first, "delete exec-a-2", first}
		if got := user.all(); !slices.Equal(got, want) {
			t.Errorf("a store of the user received %q, want %q", got, want)
		}
		var watched []string
		for _, r := range env.server.Requests() {
			watched = append(watched, r.Namespace)
		}
		slices.Sort(watched)
		if got := strings.Join(watched, " "); got != "a a b b c c" {
			t.Errorf("requests in the namespaces %s, want one for each source in a, b and c", got)
		}
		env.source.Stop()
		if got := env.source.Status(); got.Phase != watchsource.Stopped || got.Lists != 3 || got.Events != 2 || got.AppID != "app" {
			t.Errorf("status %+v after Stop, want Stopped, 3 lists and 2 events of app", got)
		}
	})
}

// The version of the store is the oldest of its watches: no event of one namespace says that the
// others have come so far. The bookmarks of quiet namespaces move it.
func TestNamespacesOldestVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.start()
		first := env.server.ResourceVersion()
		hold := env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Refuse()})
		env.strike("b", watchtest.Silence())
		before := env.create("b", "1").ResourceVersion
		env.create("a", "1")
		env.create("c", "1")
		env.want("a-1 c-1")
		env.wantVersion("b has received nothing", first)
		if env.store.Snapshot().Contains(before) {
			t.Errorf("the snapshot lacks exec-b-1 and contains its version %s, want it not contained", before)
		}
		time.Sleep(time.Minute + time.Second)
		env.wantVersion("two of three had a bookmark", first)
		hold()
		env.strike("b", watchtest.Reset())
		time.Sleep(2 * time.Minute)
		env.want("a-1 b-1 c-1")
		env.wantVersion("all had a bookmark", env.server.ResourceVersion())

		created := env.create("c", "2").ResourceVersion
		snapshot, err := env.store.WaitForResourceVersion(t.Context(), created)
		if _, ok := snapshot.Get("exec-c-2"); err != nil || !ok {
			t.Errorf("WaitForResourceVersion = %v, exec-c-2 there: %v, want it", err, ok)
		}
	})
}

// A list of one namespace replaces the executors of that namespace only. The others keep theirs,
// although the server no longer answers for them, and SyncedAt stays with the oldest list.
func TestNamespacesRelistOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		for _, namespace := range []string{"a", "b", "c"} {
			env.create(namespace, "1")
			env.create(namespace, "2")
		}
		user := new(recordingStore)
		env.start()
		env.startFor(user)
		seen := countChanges(t, env.store)
		synced := time.Now()
		time.Sleep(time.Minute)
		lift := env.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		env.strike("b", watchtest.Reset())
		synctest.Wait()
		env.delete("b", "1")
		env.create("b", "3")
		env.server.Compact()
		lift()
		time.Sleep(time.Minute)
		env.want("a-1 a-2 b-2 b-3 c-1 c-2")
		if got := fmt.Sprint(seen.deleted); got != "map[exec-b-1:1]" {
			t.Errorf("a reader is shown the deletions %s, want map[exec-b-1:1]", got)
		}
		calls := user.all()
		if got, want := calls[len(calls)-1], "replace exec-a-1 exec-a-2 exec-b-2 exec-b-3 exec-c-1 exec-c-2"; len(calls) != 2 || got != want {
			t.Errorf("a store of the user received %q, want two lists, the last %q", calls, want)
		}
		if got := env.store.Snapshot().SyncedAt(); !got.Equal(synced) {
			t.Errorf("synced at %v, want %v as two namespaces", got, synced)
		}
		env.strike("a", watchtest.SendError(apierrors.NewResourceExpired("too old")))
		env.strike("c", watchtest.SendError(apierrors.NewResourceExpired("too old")))
		time.Sleep(time.Minute)
		if got := env.store.Snapshot().SyncedAt(); !got.After(synced) {
			t.Errorf("synced at %v after all namespaces have been listed again, want later than %v", got, synced)
		}
		if got := env.source.Status(); got.Lists != 6 || got.Relists != 3 {
			t.Errorf("%d lists and %d relists, want 6 and 3", got.Lists, got.Relists)
		}
	})
}

// The server is restored from a backup. The namespace that finds it first makes the others list
// again, although the new history has gone beyond the versions that they hold when they look, and
// whether or not their watches are open. Until then the version of the store is unknown.
func TestNamespacesNewHistory(t *testing.T) {
	for _, away := range []bool{true, false} {
		inBubble(t, fmt.Sprint("the others are away: ", away), func(t *testing.T) {
			env := newNamespacesEnv(t)
			env.create("a", "1")
			env.create("b", "1")
			user := new(observing)
			env.start()
			env.startFor(user)
			restore := env.server.Backup()
			env.server.Advance(1000)
			env.create("a", "2")
			env.create("b", "2")
			env.create("c", "2")
			time.Sleep(2 * time.Minute)
			env.wantVersion("before", env.server.ResourceVersion())
			lift := func() {}
			if away {
				lift = env.server.Inject(watchtest.Fault{Do: watchtest.Refuse(), If: func(r watchtest.Request) bool { return r.Namespace != "a" }})
			}
			restore()
			env.create("b", "3")
			for env.source.Status().Relists == 0 {
				time.Sleep(time.Second)
			}
			env.wantVersion("one has found the new history", "")
			if away {
				env.want("a-1 b-1 b-2 c-2")
			}
			env.server.Advance(5000)
			lift()
			env.create("c", "3")
			time.Sleep(3 * time.Minute)
			env.want("a-1 b-1 b-3 c-3")
			env.wantVersion("all have listed", env.server.ResourceVersion())
			calls := user.all()
			if got, want := calls[len(calls)-1], "version "+env.server.ResourceVersion(); got != want {
				t.Errorf("the last call of a store of the user was %q, want %q", got, want)
			}
		})
	}
}

// The observer receives what happens in all namespaces, never two at a time, and each with its
// namespace. The lines of the log name the namespace.
func TestNamespacesObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, log := newNamespacesEnv(t), new(logLines)
		var calling atomic.Int32
		seen := map[string]int{}
		env.start(watchsource.WithLogger(log.logger(0)), watchsource.WithVerification(time.Minute), watchsource.WithObserver(func(o watchsource.Observation) {
			if calling.Add(1) != 1 {
				t.Error("two calls of the observer at a time, want one")
			}
			time.Sleep(time.Millisecond)
			seen[o.Namespace+" "+o.Kind.String()]++
			calling.Add(-1)
		}))
		for i := range 20 {
			for _, namespace := range []string{"a", "b", "c"} {
				env.create(namespace, fmt.Sprint(i))
			}
		}
		time.Sleep(time.Second)
		env.inject("b", watchtest.Fault{Do: watchtest.Answer(forbidden)})
		env.strike("b", watchtest.Reset())
		time.Sleep(time.Second)
		env.source.Stop()
		for _, namespace := range []string{"a", "b", "c"} {
			if seen[namespace+" Listed"] != 1 || seen[namespace+" Opened"] != 1 || seen[namespace+" Received"] != 20 || seen[namespace+" Closed"] != 1 {
				t.Errorf("the observer has seen %v, want one list, one watch and 20 events of %s", seen, namespace)
			}
		}
		if got := log.matching("Watch interrupted", `"namespace"="b"`, `"appID"="app"`); len(got) != 1 {
			t.Errorf("the log says %q, want one line that names b", log.lines)
		}
	})
}

// A fake clientset works too, also one whose watches come from a reactor.
func TestNamespacesOfAFake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(podIn("a", "1"), podIn("b", "1"), podIn("other", "1"))
		env := newNamespacesEnv(t)
		env.source = watchsource.NewWatchSnapshotSource(env.store, client, watchsource.WithNamespaces("b", "a"))
		start(t, env.source, "app")
		defer env.source.Stop()
		env.want("a-1 b-1")
		create(t, client, podIn("b", "2"))
		create(t, client, podIn("other", "2"))
		remove(t, client, podIn("a", "1"))
		env.want("b-1 b-2")
		time.Sleep(10 * time.Minute)
		if err := env.source.Healthy(3 * time.Minute); err != nil {
			t.Errorf("Healthy = %v, want nil", err)
		}
	})
}

// A verification finds a lost event in the namespace that has lost it. Only that one is listed again.
func TestNamespacesVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.create("b", "1")
		env.start(watchsource.WithVerification(5 * time.Minute))
		env.strike("b", watchtest.Lose(1))
		env.delete("b", "1")
		time.Sleep(8 * time.Minute)
		env.want("")
		got := env.source.Status()
		if got.Relists != 1 || got.Err == nil || !strings.Contains(got.Err.Error(), `watchsource: namespace "b": the watch has lost an event: pod b/exec-b-1 is gone`) {
			t.Errorf("status %+v, want one relist and an error that names b", got)
		}
	})
}

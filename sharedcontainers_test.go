// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// A SharedWatch does not know which container a store of the user takes for the executor. States that
// wait for such a store are merged, and no end of any container is lost.

// executorRules are rules of a Store behind a store of the user: the executor container is worker.
var executorRules = map[string][]watchsource.StoreOption{
	"names":          byNames("main", "worker"),
	"function":       byFunc(lastOf),
	"container only": append(byNames("worker"), watchsource.WithExecutorContainerOnly()),
	"without pods":   append(byNames("worker"), watchsource.WithoutPods()),
}

// userStores put a Store behind a store of the user.
var userStores = map[string]func(watchsource.SnapshotsStore, *watchsource.Store) watchsource.SnapshotsStore{
	"in a tee": func(first watchsource.SnapshotsStore, store *watchsource.Store) watchsource.SnapshotsStore {
		return watchsource.Tee(first, store)
	},
	"embedded": func(first watchsource.SnapshotsStore, store *watchsource.Store) watchsource.SnapshotsStore {
		return slowEmbedding{store, first}
	},
}

// slowEmbedding embeds a Store, and calls another store before it.
type slowEmbedding struct {
	*watchsource.Store
	first watchsource.SnapshotsStore
}

func (s slowEmbedding) UpdatePod(p *corev1.Pod) {
	s.first.UpdatePod(p)
	s.Store.UpdatePod(p)
}

func eachUserStore(t *testing.T, test func(t *testing.T, behind func(watchsource.SnapshotsStore) (watchsource.SnapshotsStore, *watchsource.Store))) {
	for rule, options := range executorRules {
		for name, put := range userStores {
			inBubble(t, rule+"/"+name, func(t *testing.T) {
				test(t, func(first watchsource.SnapshotsStore) (watchsource.SnapshotsStore, *watchsource.Store) {
					store := watchsource.NewStore(options...)
					return put(first, store), store
				})
			})
		}
	}
}

// runWorker is run for a container beside a sidecar. The kubelet restarts both.
func runWorker(id string, restarts int32, state, last corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.RestartPolicy, p.Status.Phase = corev1.RestartPolicyAlways, corev1.PodRunning
		p.Spec.Containers = []corev1.Container{{Name: "a-sidecar", Image: "a"}, {Name: "worker", Image: "b"}}
		run(id, restarts, state, last)(p)
		p.Status.ContainerStatuses[0].Name = "worker"
		p.Status.ContainerStatuses = append([]corev1.ContainerStatus{{Name: "a-sidecar", ContainerID: "side", State: running()}}, p.Status.ContainerStatuses...)
	}
}

// endWorkers lets containers end five times in all, with the exit codes 1 to 5.
func endWorkers(server *watchtest.Server) {
	none := corev1.ContainerState{}
	server.Update("jobs", "slow-1", runWorker("run-2", 1, running(), endedRun("run-1", 1)))
	server.Update("jobs", "slow-1", runWorker("run-3", 2, running(), endedRun("run-2", 2)))
	server.Update("jobs", "slow-2", runWorker("run-1", 0, endedRun("run-1", 3), none))
	server.Update("jobs", "slow-2", runWorker("run-2", 1, running(), endedRun("run-1", 3)))
	server.Update("jobs", "slow-2", runWorker("run-2", 1, endedRun("run-2", 4), endedRun("run-1", 3)))
	server.Update("jobs", "slow-2", runWorker("run-3", 2, endedRun("run-3", 5), endedRun("run-2", 4)))
	for i := range 10 {
		server.Update("jobs", "slow-1", annotate("step", fmt.Sprint(i)))
		server.Update("jobs", "slow-2", annotate("step", fmt.Sprint(i)))
	}
}

func createWorkers(server *watchtest.Server) {
	for _, id := range []string{"1", "2"} {
		server.Create(podOf("slow", id, runWorker("run-1", 0, running(), corev1.ContainerState{})))
	}
}

func wantFiveEnds(t *testing.T, got []int32) {
	t.Helper()
	if want := []int32{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("the reader was shown the exit codes %v, want %v", got, want)
	}
}

// startBlockedRule is startBlocked for a Store with a rule.
func startBlockedRule(t *testing.T, behind func(watchsource.SnapshotsStore) (watchsource.SnapshotsStore, *watchsource.Store)) (server *watchtest.Server, gated *gatedStore, ends func() []int32) {
	t.Helper()
	server, gated = watchtest.NewServer(), &gatedStore{gate: make(chan struct{})}
	user, store := behind(gated)
	shown := endsOf(t, store)
	source := watchsource.NewSharedWatch(server.Client()).Source(user)
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

// A store that blocks while more than a thousand states wait.
func TestSharedWatchBlockedStoreReceivesEndsOfAnyContainer(t *testing.T) {
	eachUserStore(t, func(t *testing.T, behind func(watchsource.SnapshotsStore) (watchsource.SnapshotsStore, *watchsource.Store)) {
		server, gated, ends := startBlockedRule(t, behind)
		for i := range 2000 { // states are merged from the 1,024th on
			server.Update("jobs", "slow-0", annotate("step", fmt.Sprint(i)))
		}
		createWorkers(server)
		endWorkers(server)
		wantFiveEnds(t, ends())
		if n := len(gated.calls); n > 1100 {
			t.Errorf("the store received %d calls, want the states that show no end merged", n)
		}
	})
}

// A store that blocks while many lists wait.
func TestSharedWatchBlockedStoreReceivesEndsOfAnyContainerInLists(t *testing.T) {
	eachUserStore(t, func(t *testing.T, behind func(watchsource.SnapshotsStore) (watchsource.SnapshotsStore, *watchsource.Store)) {
		server, _, ends := startBlockedRule(t, behind)
		relist := func() {
			synctest.Wait()
			changeWhileAway(server, func() {
				server.Advance(1)
				server.Compact()
			})
			time.Sleep(2 * time.Minute)
		}
		relist()
		createWorkers(server)
		endWorkers(server)
		relist()
		server.Delete("jobs", "slow-2")
		for range 8 {
			relist()
		}
		wantFiveEnds(t, ends())
	})
}

// A store whose application is listed late.
func TestSharedWatchEndsOfAnyContainerDuringALateList(t *testing.T) {
	eachUserStore(t, func(t *testing.T, behind func(watchsource.SnapshotsStore) (watchsource.SnapshotsStore, *watchsource.Store)) {
		server := watchtest.NewServer()
		createWorkers(server)
		shared := watchsource.NewSharedWatch(server.Client())
		startShared(t, shared, "first")
		server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Delay(10 * time.Second), After: 1, Times: 1})
		user, store := behind(&recordingStore{})
		ends := endsOf(t, store)
		source := shared.Source(user)
		defer source.Stop()
		go func() {
			time.Sleep(5 * time.Second) // the list has been read
			endWorkers(server)
		}()
		start(t, source, "slow")
		wantFiveEnds(t, ends())
	})
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Stores that block on a SharedWatch.

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

func (s *gatedStore) UpdatePod(p *corev1.Pod) { s.record("update", p) }

func (s *gatedStore) DeletePod(p *corev1.Pod) { s.record("delete", p) }

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
		lift := server.Inject(watchtest.Fault{
			On: watchtest.List,
			Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role"))),
		})
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

// blockedUpdates blocks in UpdatePod.
type blockedUpdates struct {
	watchsource.SnapshotsStore
	block <-chan struct{}
}

func (s blockedUpdates) UpdatePod(*corev1.Pod) { <-s.block }

// The shared watch is stopped once all sources are. Here the Stop of one waits for its store while
// the Stop of the other waits for the observer.
func TestSharedWatchStatusAfterTwoStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		storeBlocks, observerBlocks := make(chan struct{}), make(chan struct{})
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithObserver(func(o watchsource.Observation) {
			if o.Kind == watchsource.Received {
				<-observerBlocks
			}
		}))
		one := shared.Source(blockedUpdates{watchsource.NewStore(), storeBlocks})
		start(t, one, "one")
		_, two := startShared(t, shared, "two")
		server.Create(podOf("one", "1"))
		synctest.Wait()
		go one.Stop() // waits for the store
		synctest.Wait()
		go two.Stop() // waits for the observer
		synctest.Wait()
		close(storeBlocks)
		synctest.Wait()
		close(observerBlocks)
		synctest.Wait()
		if got := shared.Status(); got.Phase != watchsource.Stopped || got.Events != 1 || shared.Healthy(time.Hour) == nil {
			t.Errorf("phase %v with %d events, Healthy %v; want Stopped with 1, and an error", got.Phase, got.Events, shared.Healthy(time.Hour))
		}
		one.Stop()
		two.Stop()
	})
}

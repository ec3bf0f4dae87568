// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

var (
	seed     = flag.Uint64("seed", 0, "seed of the random tests, 0 for a random one")
	podLives = flag.Int("lives", defaultLives, "number of lives of TestEachEndOnce, from -seed on")
)

const defaultLives = 3000

// random returns a source of random numbers that -seed replays.
func random(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("replay with -seed=%d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// The case N3 of Spark's ExecutorPodsSnapshotSuite.
func TestUpdateReplacesAddsAndKeeps(t *testing.T) {
	store := watchsource.NewStore()
	store.ReplaceSnapshot([]*corev1.Pod{pod("0"), pod("1", phase(corev1.PodRunning))})
	original := store.Snapshot()
	store.UpdatePod(pod("1", phase(corev1.PodSucceeded)))
	store.UpdatePod(pod("2"))
	if got := names(original); got != "exec-0=Pending exec-1=Running" {
		t.Errorf("the snapshot taken before has become %q, want it unchanged", got)
	}
	if got := names(store.Snapshot()); got != "exec-0=Pending exec-1=Succeeded exec-2=Pending" {
		t.Errorf("the newest snapshot has %q, want the three executors in their newest states", got)
	}
}

var createdFirst = func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(1_600_000_000, 0)) }
var createdLater = func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0)) }
var donePod = pod("1", createdFirst, phase(corev1.PodSucceeded), container(executorContainer, ended(0, "Completed")))

// recreatedPods are the cases of TestRecreatedPodWithoutUID.
var recreatedPods = []struct {
	name  string
	again *corev1.Pod
	want  string
	state watchsource.State
}{
	{name: "pending", again: pod("1"), want: "exec-1 Succeeded>Deleted, exec-1 nothing>Pending", state: watchsource.Pending},
	{
		name: "running", again: pod("1", phase(corev1.PodRunning)), want: "exec-1 Succeeded>Deleted, exec-1 nothing>Running",
		state: watchsource.Running,
	},
	{name: "running, with a status", again: pod("1", phase(corev1.PodRunning), container(executorContainer, running())),
		want: "exec-1 Succeeded>Deleted, exec-1 nothing>Running", state: watchsource.Running},
	{name: "ended in another way, created later", again: pod("1", createdLater, phase(corev1.PodFailed),
		container(executorContainer, ended(1, "Error"))),
		want: "exec-1 Succeeded>Deleted, exec-1 nothing>Failed", state: watchsource.Failed},
	{name: "the same pod, without the time of its creation", again: pod("1", phase(corev1.PodSucceeded),
		container(executorContainer, ended(0, "Completed"))),
		want: "", state: watchsource.Succeeded},
	{name: "the same pod", again: donePod, want: "", state: watchsource.Succeeded},
	{name: "the same pod, which is deleted", again: pod("1", phase(corev1.PodSucceeded), deleting,
		container(executorContainer, ended(0, "Completed"))),
		want: "", state: watchsource.Succeeded},
	{name: "the same pod, started again", again: pod("1", phase(corev1.PodRunning), container(executorContainer, running()),
		lastEnd(0, "Completed", 1)),
		want: "exec-1 Succeeded>Running", state: watchsource.Running},
	{name: "the same pod, started again without a last state", again: pod("1", phase(corev1.PodRunning), mainStatus("", 1, running())),
		want: "exec-1 Succeeded>Running", state: watchsource.Running},
	{name: "the same pod, about to be started again", again: pod("1", phase(corev1.PodRunning),
		mainStatus("", 0, waiting("CrashLoopBackOff"), ended(0, "Completed"))),
		want: "exec-1 Succeeded>Running", state: watchsource.Running},
}

// A pod without a UID, as client-go's fake clientset makes it, that was deleted and created
// again while nothing was watched is another pod (client-go#835).
func TestRecreatedPodWithoutUID(t *testing.T) {
	for _, test := range recreatedPods {
		for _, way := range []struct {
			name    string
			deliver func(*watchsource.Store, *corev1.Pod)
		}{
			{name: "update", deliver: (*watchsource.Store).UpdatePod},
			{name: "list", deliver: func(s *watchsource.Store, p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) }},
		} {
			store := watchsource.NewStore()
			way.deliver(store, donePod)
			reader := newBatchReader(t, store, 0)
			reader.next()
			way.deliver(store, test.again)
			store.UpdatePod(pod("2"))
			batch, _ := reader.next()
			changes := slices.DeleteFunc(batch.Changes, func(c watchsource.Change) bool {
				return c.After.Name != "exec-1" || test.want == "" && c.After.State == watchsource.Succeeded && !c.Ended
			})
			e, _ := store.Snapshot().Get("exec-1")
			if got := changeLines(changes); got != test.want || e.State != test.state || e.Problem != "" {
				t.Errorf("%s by %s: changes %q, then %v, problem %q; want %q, %v, none", test.name, way.name, got, e.State, e.Problem,
					test.want, test.state)
			}
		}
	}
}

// The deletion of the second pod of a name, of which the store knows the first only, shows the
// first as gone, in its own last state.
func TestDeletionOfARecreatedPodWithoutUID(t *testing.T) {
	store := watchsource.NewStore()
	store.UpdatePod(pod("1", phase(corev1.PodSucceeded), container(executorContainer, ended(0, "Completed"))))
	reader := newBatchReader(t, store, 0)
	reader.next()
	store.DeletePod(pod("1", phase(corev1.PodFailed), container(executorContainer, ended(3, "Error")), func(p *corev1.Pod) {
		p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0))
	}))
	batch, _ := reader.next()
	if got := changeLines(batch.Changes); got != "exec-1 Succeeded>Deleted" || batch.Changes[0].After.ExitCode != 0 {
		t.Errorf("changes %q, want exec-1 Succeeded>Deleted with exit code 0", got)
	}
}

// enter and leave note what every reader is owed.

// Readers and a writer at once, for the race detector.
func TestStoreUnderConcurrency(t *testing.T) {
	store := watchsource.NewStore()
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			for batch := range store.Batches(ctx, time.Duration(i)) {
				for e := range batch.Snapshot.All() {
					if got, ok := batch.Snapshot.ByID(e.ID); !ok || got.Name != e.Name {
						t.Errorf("ByID(%s) = %v, want the executor of the snapshot", e.ID, ok)
					}
				}
			}
		})
		readers.Go(func() {
			_, err := store.WaitFor(ctx, func(s watchsource.Snapshot) bool { return s.Len() == i && s.Count(watchsource.Failed) == 1000 })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("WaitFor = %v", err)
			}
		})
	}
	for i := range 5000 {
		store.UpdatePod(pod(fmt.Sprint(i%50), uid(fmt.Sprint(i%50)), version(fmt.Sprint(i+1)), phase(corev1.PodRunning)))
		if i%7 == 0 {
			store.DeletePod(pod(fmt.Sprint(i%50), uid(fmt.Sprint(i%50))))
		}
	}
	cancel()
	readers.Wait()
}

func TestLatest(t *testing.T) {
	store := watchsource.NewStore()
	_, changed := store.Latest()
	_, again := store.Latest()
	if changed != again {
		t.Error("Latest returned two channels for one version, want the same")
	}
	select {
	case <-changed:
		t.Error("the channel is closed, want it open until there is a newer snapshot")
	default:
	}
	store.UpdatePod(pod("1"))
	<-changed
	snapshot, changed := store.Latest()
	if snapshot.Len() != 1 {
		t.Errorf("%d executors, want 1", snapshot.Len())
	}
	select {
	case <-changed:
		t.Error("the channel of the newest snapshot is closed, want it open")
	default:
	}
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		go func() {
			for i := range 5 {
				time.Sleep(time.Second)
				store.UpdatePod(pod(fmt.Sprint(i), version(fmt.Sprint(10+i))))
			}
			time.Sleep(time.Second)
			store.ObserveResourceVersion("20") // a bookmark
		}()
		snapshot, err := store.WaitFor(t.Context(), func(s watchsource.Snapshot) bool { return s.Len() >= 3 })
		if err != nil || snapshot.Len() != 3 {
			t.Errorf("WaitFor = %d executors, %v", snapshot.Len(), err)
		}
		if snapshot, err = store.WaitForResourceVersion(t.Context(), "14"); err != nil || snapshot.Len() != 5 {
			t.Errorf("WaitForResourceVersion = %d executors, %v", snapshot.Len(), err)
		}
		if _, err = store.WaitForResourceVersion(t.Context(), "19"); err != nil {
			t.Errorf("WaitForResourceVersion with a bookmark = %v", err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		snapshot, err = store.WaitFor(ctx, func(watchsource.Snapshot) bool { return false })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "watchsource: ") || snapshot.Len() != 5 {
			t.Errorf("WaitFor = %d executors, %v", snapshot.Len(), err)
		}
		for _, version := range []string{"", "0", "v1"} {
			if _, err := store.WaitForResourceVersion(t.Context(), version); err == nil {
				t.Errorf("WaitForResourceVersion(%q) returned nil, want an error", version)
			}
		}
	})
}

// Waiting ends with the source, because nothing will come any more, and goes on
// after the next Start.
func TestWaitForEndsWithTheSource(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		store := watchsource.NewStore()
		source := newSource(store, server.Client())
		three := func(s watchsource.Snapshot) bool { return s.Len() == 3 }
		var waiting sync.WaitGroup
		wait := func(want error) {
			waiting.Go(func() {
				if _, err := store.WaitFor(t.Context(), three); !errors.Is(err, want) {
					t.Errorf("WaitFor = %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		wait(watchsource.ErrStopped) // since before Start
		start(t, source, "app")
		server.Create(pod("1"))
		wait(watchsource.ErrStopped)
		source.Stop()
		waiting.Wait()

		snapshot, err := store.WaitForResourceVersion(t.Context(), "9999999")
		if !errors.Is(err, watchsource.ErrStopped) || snapshot.Len() != 1 {
			t.Errorf("after Stop: %d executors, %v", snapshot.Len(), err)
		}
		if _, err := store.WaitFor(t.Context(), func(s watchsource.Snapshot) bool { return s.Len() == 1 }); err != nil {
			t.Errorf("after Stop, for what is there: %v", err)
		}
		start(t, source, "app")
		wait(nil)
		server.Create(pod("2"))
		server.Create(pod("3"))
		waiting.Wait()
		source.Stop()
	})
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
)

// changeLines spells changes out: name, states, and whether the pod is new.
func changeLines(changes []watchsource.Change) string {
	var lines []string
	for _, c := range changes {
		before := "nothing"
		if c.Before != nil {
			before = c.Before.State.String()
		}
		lines = append(lines, fmt.Sprintf("%s %s>%v", c.After.Name, before, c.After.State))
	}
	return strings.Join(lines, ", ")
}

// A batchReader pulls the batches of a store one by one.
type batchReader struct {
	next func() (watchsource.Batch, bool)
	stop func()
}

func (r batchReader) want(t *testing.T, want string) watchsource.Batch {
	t.Helper()
	batch, ok := r.next()
	if !ok {
		t.Fatal("the batches have ended, want another batch")
	}
	if got := changeLines(batch.Changes); got != want {
		t.Errorf("batch %q, want %q", got, want)
	}
	return batch
}

// A container that is started again ends again, even if no state showed that it ran.
func TestEndAfterEnd(t *testing.T) {
	endedAt := func(second int64, more ...func(*corev1.Pod)) *corev1.Pod {
		state := ended(1, "Error")
		state.Terminated.FinishedAt = metav1.NewTime(time.Unix(second, 0))
		return pod("1", append(more, uid("u"), phase(corev1.PodRunning), container(executorContainer, state))...)
	}
	for _, test := range []struct {
		name string
		tell func(*watchsource.Store)
		// times has the seconds of the ends that are shown.
		times []int64
	}{
		{name: "another end", tell: func(s *watchsource.Store) { s.UpdatePod(endedAt(2)) }, times: []int64{1, 2}},
		{
			name: "another end, after a list",
			tell: func(s *watchsource.Store) { s.ReplaceSnapshot([]*corev1.Pod{endedAt(2)}) }, times: []int64{1, 2},
		},
		{name: "another end, as the pod leaves", tell: func(s *watchsource.Store) { s.DeletePod(endedAt(2)) }, times: []int64{1, 2, 2}},
		{name: "the same end", tell: func(s *watchsource.Store) { s.UpdatePod(endedAt(1, deleting)) }, times: []int64{1}},
		{name: "the same end, as the pod leaves", tell: func(s *watchsource.Store) { s.DeletePod(endedAt(1, deleting)) }, times: []int64{1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := watchsource.NewStore()
			reader := newBatchReader(t, store, 0)
			reader.next()
			store.UpdatePod(endedAt(1))
			test.tell(store)
			var times []int64
			batch, _ := reader.next()
			for _, c := range batch.Changes {
				times = append(times, c.After.FinishedAt.Unix())
			}
			if !slices.Equal(times, test.times) {
				t.Errorf("shown the ends of seconds %v, want %v", times, test.times)
			}
		})
	}
}

func TestBatchesMerge(t *testing.T) {
	store := watchsource.NewStore()
	store.UpdatePod(pod("0", uid("0"), phase(corev1.PodRunning)))
	r := newBatchReader(t, store, 0)
	r.want(t, "exec-0 nothing>Running")

	// Merged: changes of one pod that are no end.
	store.UpdatePod(pod("1", uid("1")))
	store.UpdatePod(pod("2", uid("2")))
	store.UpdatePod(pod("1", uid("1"), phase(corev1.PodRunning)))
	r.want(t, "exec-1 nothing>Running, exec-2 nothing>Pending")

	// Not merged: an end and the changes after it.
	store.UpdatePod(pod("1", uid("1"), phase(corev1.PodFailed)))
	store.UpdatePod(pod("1", uid("1"), phase(corev1.PodFailed), deleting))
	store.DeletePod(pod("1", uid("1"), phase(corev1.PodFailed), deleting))
	r.want(t, "exec-1 Running>Failed, exec-1 Failed>Deleted")

	// Not lost: an executor that came and went.
	store.UpdatePod(pod("3", uid("3")))
	store.DeletePod(pod("3", uid("3")))
	r.want(t, "exec-3 nothing>Deleted")

	// One name, two pods in turn, even if the first was never reported gone.
	store.DeletePod(pod("2", uid("2")))
	store.UpdatePod(pod("2", uid("2b"), phase(corev1.PodRunning)))
	store.UpdatePod(pod("0", uid("0b")))
	r.want(t, "exec-2 Pending>Deleted, exec-2 nothing>Running, exec-0 Running>Deleted, exec-0 nothing>Pending")

	// The same without UIDs, as with fakes.
	store.UpdatePod(pod("4"))
	store.DeletePod(pod("4"))
	store.UpdatePod(pod("4", phase(corev1.PodRunning)))
	r.want(t, "exec-4 nothing>Deleted, exec-4 nothing>Running")

	// An end that only the last state shows.
	store.DeletePod(pod("2", uid("2b"), phase(corev1.PodFailed)))
	r.want(t, "exec-2 Running>Failed, exec-2 Failed>Deleted")
}

// A list brings the vanished executors first, and the unchanged not at all. What the store has
// not received cannot leave it.
func TestBatchesOfAList(t *testing.T) {
	store := watchsource.NewStore()
	store.UpdatePod(pod("0", uid("0b")))
	store.UpdatePod(pod("4", phase(corev1.PodRunning)))
	r := newBatchReader(t, store, 0)
	r.want(t, "exec-0 nothing>Pending, exec-4 nothing>Running")
	store.UpdatePod(pod("5", uid("5"), version("1"), phase(corev1.PodRunning)))
	store.UpdatePod(pod("6", uid("6"), version("2")))
	r.want(t, "exec-5 nothing>Running, exec-6 nothing>Pending")
	store.ReplaceSnapshot([]*corev1.Pod{pod("5", uid("5"), version("1"), phase(corev1.PodRunning)), pod("6", uid("6b"), version("3"))})
	r.want(t, "exec-0 Pending>Deleted, exec-4 Running>Deleted, exec-6 Pending>Deleted, exec-6 nothing>Pending")

	store.DeletePod(pod("77", uid("77")))
	store.DeletePod(pod("5", uid("another life")))
	store.UpdatePod(pod("8", uid("8")))
	r.want(t, "exec-8 nothing>Pending")
}

func TestBatchesKeepTheirInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var log []string
		var reader sync.WaitGroup
		reader.Go(func() {
			for batch := range store.Batches(ctx, 10*time.Second) {
				log = append(log, fmt.Sprintf("%v %s", time.Since(began), changeLines(batch.Changes)))
			}
		})
		time.Sleep(3 * time.Second)
		store.UpdatePod(pod("1"))
		time.Sleep(3 * time.Second)
		store.UpdatePod(pod("1", phase(corev1.PodRunning)))
		time.Sleep(28 * time.Second) // the time is 34 s: two batches were empty and did not come
		store.UpdatePod(pod("2"))
		time.Sleep(time.Second)
		store.UpdatePod(pod("3"))
		time.Sleep(time.Minute)
		cancel()
		reader.Wait()
		want := []string{"0s ", "10s exec-1 nothing>Running", "34s exec-2 nothing>Pending", "44s exec-3 nothing>Pending"}
		if !slices.Equal(log, want) {
			t.Errorf("batches\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestBatchesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for _, interval := range []time.Duration{0, time.Hour} {
			readers.Go(func() {
				for range store.Batches(ctx, interval) {
				}
			})
		}
		synctest.Wait()
		cancel()
		readers.Wait() // a reader that stayed would fail the bubble
		for range store.Batches(ctx, 0) {
			t.Error("a batch although the context has ended, want none")
		}
		for range store.Batches(t.Context(), 0) {
			break
		}
	})
}

func newBatchReader(t *testing.T, store *watchsource.Store, interval time.Duration) batchReader {
	next, stop := iter.Pull(store.Batches(t.Context(), interval))
	t.Cleanup(stop)
	return batchReader{next: next, stop: stop}
}

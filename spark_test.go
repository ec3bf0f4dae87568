// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
)

// sparkSubscriber is a reader that writes down the batches it is given, each as
// its changes and the snapshot after them.
type sparkSubscriber struct {
	mu sync.Mutex

	// Guarded by mu.
	batches []string
}

func subscribe(t *testing.T, store *watchsource.Store, interval time.Duration) *sparkSubscriber {
	s := &sparkSubscriber{}
	go func() {
		for batch := range store.Batches(t.Context(), interval) {
			s.mu.Lock()
			s.batches = append(s.batches, fmt.Sprintf("%s: %s", changeLines(batch.Changes), names(batch.Snapshot)))
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *sparkSubscriber) want(t *testing.T, step string, want ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.batches, want) {
		t.Errorf("%s: batches %q, want %q", step, s.batches, want)
	}
}

// The first case of Spark's ExecutorPodsWatchSnapshotSourceSuite: events of the watch
// become updates of the store, one for each event.
func TestSparkWatchSuite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, store := fake.NewClientset(), &recordingStore{}
		source := watchsource.NewWatchSnapshotSource(store, client)
		if len(client.Actions()) > 0 {
			t.Errorf("a source that was not started made the requests %v, want none", client.Actions())
		}
		start(t, source, "app")
		defer source.Stop()
		create(t, client, pod("1", uid("1"), phase(corev1.PodRunning)))
		create(t, client, pod("2", uid("2"), phase(corev1.PodRunning)))
		changed := pod("2", uid("2"), phase(corev1.PodSucceeded))
		if _, err := client.CoreV1().Pods(changed.Namespace).Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if want := []string{"replace", "update exec-1", "update exec-2", "update exec-2"}; !slices.Equal(store.all(), want) {
			t.Errorf("calls of the store %q, want %q", store.all(), want)
		}
	})
}

// The last case of Spark's ExecutorPodsSnapshotSuite: a pod that the lifecycle manager
// has labelled inactive leaves a view whose selector excludes such pods, and comes back
// without the label.
func TestSparkInactiveLabel(t *testing.T) {
	selector := selectorOf(t, "spark-role=executor,spark-exec-inactive!=true")
	store := watchsource.NewStore()
	watcher := watchsource.NewWatcher(store, selector)
	ended := pod("1", uid("1"), version("1"), phase(corev1.PodSucceeded))
	must(t, watcher.Receive(added(ended)))
	original := store.Snapshot()
	must(t, watcher.Receive(modified(pod("1", uid("1"), version("2"), phase(corev1.PodSucceeded), label("spark-exec-inactive", "true")))))
	if got := names(store.Snapshot()); got != "" {
		t.Errorf("inactive: %q, want no executor", got)
	}
	if got := names(original); got != "exec-1=Succeeded" {
		t.Errorf("the snapshot taken before has become %q, want exec-1=Succeeded", got)
	}
	must(t, watcher.Receive(added(pod("1", uid("1"), version("3"), phase(corev1.PodRunning)))))
	if got := names(store.Snapshot()); got != "exec-1=Running" {
		t.Errorf("active again: %q, want exec-1=Running", got)
	}
}

// The cases of Spark's ExecutorPodsSnapshotsStoreSuite in their order, as one
// story. Where Spark hands over every snapshot in between, a batch has the
// changes that lead from one to the next.
func TestSparkStoreSuite(t *testing.T) {
	const (
		none  = ": "
		one   = "exec-1 nothing>Running: exec-1=Running"
		three = "exec-2 nothing>Running, exec-3 nothing>Running: exec-1=Running exec-2=Running exec-3=Running"
	)
	run := func(id string) *corev1.Pod { return pod(id, uid(id), version(id), phase(corev1.PodRunning)) }
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		fast, slow := subscribe(t, store, time.Second), subscribe(t, store, 2*time.Second)
		fast.want(t, "subscribers begin with what there is", none)
		slow.want(t, "subscribers begin with what there is", none)

		store.UpdatePod(run("1"))
		time.Sleep(time.Second)
		fast.want(t, "an update after one second", none, one)
		slow.want(t, "an update after one second", none)

		time.Sleep(time.Second)
		fast.want(t, "nothing is repeated", none, one)
		slow.want(t, "the second catches up", none, one)

		store.UpdatePod(run("2"))
		store.UpdatePod(run("3"))
		time.Sleep(time.Second)
		fast.want(t, "two updates, in order", none, one, three)
		slow.want(t, "two updates, too soon for the second", none, one)
		time.Sleep(time.Second)
		slow.want(t, "both histories are equal", none, one, three)
		if at := store.Snapshot().SyncedAt(); !at.IsZero() {
			t.Errorf("updates have set the time of the last full list to %v, want the zero time", at)
		}

		late := subscribe(t, store, time.Second)
		late.want(t, "one who comes later begins with what there is",
			"exec-1 nothing>Running, exec-2 nothing>Running, exec-3 nothing>Running: exec-1=Running exec-2=Running exec-3=Running")

		time.Sleep(100 * time.Millisecond)
		listed := time.Now()
		store.ReplaceSnapshot([]*corev1.Pod{run("2")})
		time.Sleep(time.Second)
		fast.want(t, "a full list removes what it lacks", none, one, three,
			"exec-1 Running>Deleted, exec-3 Running>Deleted: exec-2=Running")
		if at := store.Snapshot().SyncedAt(); !at.Equal(listed) {
			t.Errorf("the last full list was at %v in the snapshot, want %v", at, listed)
		}
	})
}

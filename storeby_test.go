// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// job is the label of the owners in these tests.
const job = "job"

// byJob is an owner function. A pod without the label has no owner.
func byJob(pod metav1.Object) (string, bool) {
	owner, ok := pod.GetLabels()[job]
	return owner, ok
}

func ofJob(owner string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[job] = owner }
}

// owners lists the owners of a store with the names of their executors.
func owners(s *watchsource.StoreBy[string]) string {
	var lines []string
	for owner := range s.Owners() {
		lines = append(lines, owner+": "+names(s.Snapshot(owner)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// A roundReader pulls the batches of all owners one by one.
type roundReader struct {
	next func() (string, watchsource.Batch, bool)
	stop func()
}

func readRounds(t *testing.T, store *watchsource.StoreBy[string], interval time.Duration) roundReader {
	next, stop := iter.Pull2(store.Batches(context.Background(), interval))
	t.Cleanup(stop)
	return roundReader{next, stop}
}

// want fails unless the next batch is of an owner and has changes.
func (r roundReader) want(t *testing.T, owner, changes string) watchsource.Batch {
	t.Helper()
	got, batch, ok := r.next()
	if !ok {
		t.Fatalf("the batches have ended, want one of %s", owner)
	}
	if lines := changeLines(batch.Changes); got != owner || lines != changes {
		t.Errorf("batch of %s: %q, want one of %s: %q", got, lines, owner, changes)
	}
	return batch
}

// Owners come with their first pod and go with their last, each with its own snapshot.
func TestOwnersComeAndGo(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, store := watchtest.NewServer(), watchsource.NewStoreBy(byJob)
		server.Create(pod("1", ofJob("a")))
		server.Create(pod("2", ofJob("b")))
		server.Create(pod("3"))
		startSource(t, newSource, server, store)
		want := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if got := owners(store); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		want("listed", "a: exec-1=Pending; b: exec-2=Pending")
		server.Create(pod("4", ofJob("a")))
		server.Create(pod("5", ofJob("c")))
		want("created", "a: exec-1=Pending exec-4=Pending; b: exec-2=Pending; c: exec-5=Pending")
		server.Delete(podtest.Namespace, "exec-2")
		want("deleted", "a: exec-1=Pending exec-4=Pending; c: exec-5=Pending")
		server.Update(podtest.Namespace, "exec-1", ofJob("c"))
		want("moved", "a: exec-4=Pending; c: exec-1=Pending exec-5=Pending")
		server.Update(podtest.Namespace, "exec-4", func(p *corev1.Pod) { delete(p.Labels, job) })
		want("without an owner", "c: exec-1=Pending exec-5=Pending")
		server.Create(pod("2", ofJob("b")))
		want("back", "b: exec-2=Pending; c: exec-1=Pending exec-5=Pending")
		if none := store.Snapshot("a"); none.Len() != 0 || !none.Complete() {
			t.Errorf("the snapshot of an owner that has gone: %d executors, complete %v; want none, complete", none.Len(), none.Complete())
		}
	})
}

// One reader is shown one batch for each owner that has changed, in the order of the changes.
func TestBatchesOfOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStoreBy(byJob)
		store.ReplaceSnapshot([]*corev1.Pod{pod("1", ofJob("a"), uid("1")), pod("2", ofJob("b"), uid("2")), pod("3", ofJob("a"), uid("3"))})
		reader := readRounds(t, store, time.Second)
		for _, want := range [][2]string{{"a", "exec-1 nothing>Pending, exec-3 nothing>Pending"}, {"b", "exec-2 nothing>Pending"}} {
			if batch := reader.want(t, want[0], want[1]); !batch.Full {
				t.Errorf("the first batch of %s is not full", want[0])
			}
		}
		store.UpdatePod(pod("2", ofJob("b"), uid("2"), phase(corev1.PodRunning)))
		store.UpdatePod(pod("1", ofJob("a"), uid("1"), phase(corev1.PodRunning)))
		store.UpdatePod(pod("2", ofJob("b"), uid("2"), phase(corev1.PodFailed)))
		if batch := reader.want(t, "b", "exec-2 Pending>Failed"); batch.Full || batch.Snapshot.Count(watchsource.Failed) != 1 {
			t.Error("the batch of b is full, or its snapshot is older than the changes")
		}
		reader.want(t, "a", "exec-1 Pending>Running")
		store.DeletePod(pod("2", ofJob("b"), uid("2")))
		store.UpdatePod(pod("2", ofJob("b"), uid("4")))
		store.DeletePod(pod("2", ofJob("b"), uid("4")))
		if batch := reader.want(t, "b", "exec-2 Failed>Deleted, exec-2 nothing>Deleted"); batch.Snapshot.Len() != 0 {
			t.Errorf("%d executors of b after the last has left, want none", batch.Snapshot.Len())
		}
	})
}

// A pod that moves to another owner leaves the first once, in its new state.
func TestPodChangesItsOwner(t *testing.T) {
	for name, move := range map[string]func(*watchsource.StoreBy[string], *corev1.Pod){
		"event": func(s *watchsource.StoreBy[string], p *corev1.Pod) { s.UpdatePod(p) },
		"list":  func(s *watchsource.StoreBy[string], p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) },
	} {
		t.Run(name, func(t *testing.T) {
			store := watchsource.NewStoreBy(byJob)
			reader := readRounds(t, store, 0)
			store.UpdatePod(pod("1", ofJob("a"), uid("1")))
			reader.want(t, "a", "exec-1 nothing>Pending")
			move(store, pod("1", ofJob("b"), uid("1"), phase(corev1.PodFailed)))
			// The end shows in a list after the pod has moved, in an event with it.
			first := map[string]string{"event": "exec-1 Pending>Failed, exec-1 Failed>Deleted", "list": "exec-1 Pending>Deleted"}[name]
			batch := reader.want(t, "a", first)
			if gone := batch.Changes[len(batch.Changes)-1].Gone; gone != watchsource.Unselected {
				t.Errorf("the pod left as %v, want Unselected", gone)
			}
			if batch := reader.want(t, "b", "exec-1 nothing>Failed"); !batch.Changes[0].Ended {
				t.Error("the end is not shown to the second owner")
			}
			store.DeletePod(pod("1", ofJob("b"), uid("1")))
			batch = reader.want(t, "b", "exec-1 Failed>Deleted")
			if gone := batch.Changes[0].Gone; gone != watchsource.Seen {
				t.Errorf("the pod left as %v, want Seen", gone)
			}
			if got := owners(store); got != "" {
				t.Errorf("owners %q, want none", got)
			}
		})
	}
}

// An event of one owner advances the version of all, and so does a bookmark.
func TestVersionsOfOwners(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, store := watchtest.NewServer(), watchsource.NewStoreBy(byJob)
		server.Create(pod("1", ofJob("a")))
		startSource(t, newSource, server, store)
		done := make(chan error)
		created := server.Create(pod("2", ofJob("b")))
		go func() {
			_, err := store.WaitForResourceVersion(t.Context(), "a", created.ResourceVersion)
			done <- err
		}()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, owner := range []string{"a", "b", "c"} {
			if s := store.Snapshot(owner); !s.Contains(created.ResourceVersion) {
				t.Errorf("the snapshot of %s is at version %s, want %s", owner, s.ResourceVersion(), created.ResourceVersion)
			}
		}
		unselected := server.Create(driver("app"))
		time.Sleep(2 * time.Minute)
		if s := store.Snapshot("a"); !s.Contains(unselected.ResourceVersion) {
			t.Errorf("the snapshot is at version %s after a bookmark, want %s", s.ResourceVersion(), unselected.ResourceVersion)
		}
	})
}

// Calls that wait for an owner that does not exist yet return when it comes.
func TestWaitForAnOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStoreBy(byJob)
		found := make(chan string)
		go func() {
			snapshot, err := store.WaitFor(t.Context(), "a", func(s watchsource.Snapshot) bool { return s.Len() == 2 })
			found <- names(snapshot) + " " + fmt.Sprint(err)
		}()
		for range 2 { // the owner goes, and comes again
			synctest.Wait()
			store.UpdatePod(pod("1", ofJob("a")))
			synctest.Wait()
			store.DeletePod(pod("1", ofJob("a")))
		}
		synctest.Wait()
		store.UpdatePod(pod("1", ofJob("a")))
		store.UpdatePod(pod("3", ofJob("b")))
		store.UpdatePod(pod("2", ofJob("a")))
		if got := <-found; got != "exec-1=Pending exec-2=Pending <nil>" {
			t.Errorf("found %s, want exec-1 exec-2", got)
		}
	})
}

// Keys of namespace and name divide two owners of one name.
func TestOwnersOfOneName(t *testing.T) {
	store := watchsource.NewStoreBy(func(p metav1.Object) (types.NamespacedName, bool) {
		ref := metav1.GetControllerOf(p)
		if ref == nil {
			return types.NamespacedName{}, false
		}
		return types.NamespacedName{Namespace: p.GetNamespace(), Name: ref.Name}, true
	})
	controlled := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{Name: "etl", Controller: new(true)}}
	}
	for i, namespace := range []string{"red", "blue"} {
		store.UpdatePod(pod(fmt.Sprint(i), podtest.Named(namespace, fmt.Sprint("worker-", i)), controlled))
	}
	store.UpdatePod(pod("9"))
	for i, namespace := range []string{"red", "blue"} {
		want := fmt.Sprintf("worker-%d=Pending", i)
		if got := names(store.Snapshot(types.NamespacedName{Namespace: namespace, Name: "etl"})); got != want {
			t.Errorf("owner %s/etl has %q, want %q", namespace, got, want)
		}
	}
}

// Two sources cannot feed one StoreBy, nor a type that embeds one.
func TestStoreByInUse(t *testing.T) {
	server, store := watchtest.NewServer(), watchsource.NewStoreBy(byJob)
	startSource(t, watchsource.NewWatchSnapshotSource, server, store)
	for name, other := range map[string]watchsource.SnapshotsStore{
		"itself": store, "embedded": struct{ *watchsource.StoreBy[string] }{store}, "in a Tee": watchsource.Tee(store, watchsource.NewStore()),
	} {
		if err := watchsource.NewWatchSnapshotSource(other, server.Client()).Start("app"); !errors.Is(err, watchsource.ErrStoreInUse) {
			t.Errorf("%s: %v, want ErrStoreInUse", name, err)
		}
	}
	zero := watchsource.NewWatchSnapshotSource(&watchsource.StoreBy[string]{}, server.Client())
	if err := zero.Start("app"); err == nil || !strings.Contains(err.Error(), "NewStoreBy") {
		t.Errorf("%v for the zero StoreBy, want an error that names NewStoreBy", err)
	}
}

// Backlogs name the line that called Batches.
func TestBacklogsOfOwners(t *testing.T) {
	store := watchsource.NewStoreBy(byJob)
	reader := readRounds(t, store, 0)
	store.UpdatePod(pod("1", ofJob("a"), uid("1")))
	reader.want(t, "a", "exec-1 nothing>Pending")
	store.UpdatePod(pod("2", ofJob("b"), uid("2")))
	if all := store.Backlogs(); len(all) != 1 || all[0].Changes != 1 || !strings.HasPrefix(all[0].Reader, "storeby_test.go:") {
		t.Errorf("backlogs %+v, want one change for a reader in storeby_test.go", all)
	}
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
)

// The tests of this file use client-go's fake clientset, as users do in their own tests.

func TestFakeClientsetLife(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1", phase(corev1.PodRunning)), driver("app"), pod("9", label(watchsource.LabelApp, "other")))
		store := watchsource.NewStore()
		source := newSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		wantNames(t, store, "exec-1=Running")

		create(t, client, pod("2"))
		create(t, client, pod("driver-2", label(watchsource.LabelRole, "driver")))
		create(t, client, pod("8", label(watchsource.LabelApp, "other")))
		wantNames(t, store, "exec-1=Running exec-2=Pending")

		modify(t, client, pod("2", phase(corev1.PodRunning)))
		modify(t, client, pod("1", phase(corev1.PodFailed), container(executorContainer, ended(137, "OOMKilled"))))
		wantNames(t, store, "exec-1=Failed exec-2=Running")

		// exec-2 gets the label of another application, and the driver that of an executor.
		modify(t, client, pod("2", phase(corev1.PodRunning), label(watchsource.LabelApp, "other")))
		modify(t, client, pod("driver", phase(corev1.PodRunning), label(watchsource.LabelRole, watchsource.RoleExecutor)))
		wantNames(t, store, "exec-1=Failed exec-driver=Running")

		remove(t, client, pod("1"))
		wantNames(t, store, "exec-driver=Running")
	})
}

// The store receives a pod that is created right after Start has returned, and no pod that
// does not match.
func TestFakeClientsetAfterStart(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		for round := range 50 {
			client := fake.NewClientset()
			store := &recordingStore{}
			source := newSource(store, client, watchsource.WithNamespace("jobs"))
			start(t, source, "app")
			create(t, client, pod("1"))
			create(t, client, driver("app"))
			create(t, client, pod("2", label(watchsource.LabelApp, "other")))
			create(t, client, pod("3", func(p *corev1.Pod) { p.Namespace = "elsewhere" }))
			synctest.Wait()
			source.Stop()
			if got := strings.Join(store.all(), ", "); got != "replace, update exec-1" {
				t.Fatalf("round %d: the store received %q, want %q", round, got, "replace, update exec-1")
			}
		}
	})
}

// The fake clientset's watch does not send a deletion that happened between the list and the
// watch. The source must notice it.
func TestFakeClientsetDeletionBetweenListAndWatch(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1"), pod("2"))
		once := sync.OnceFunc(func() {
			if err := client.Tracker().Delete(podsResource, "jobs", "exec-1"); err != nil {
				t.Error(err)
			}
		})
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
			once()
			return false, nil, nil
		})
		store := watchsource.NewStore()
		source := newSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		wantNames(t, store, "exec-2=Pending")
	})
}

// The source must also notice a deletion that happened while the watch after a list was
// refused.
func TestFakeClientsetDeletionWhileItsWatchIsRefused(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1"), pod("2"))
		first, refusals := watch.NewFake(), 2
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
			if first != nil {
				w := first
				first = nil
				return true, w, nil
			}
			refusals--
			return refusals >= 0, nil, errors.New("not now")
		})
		opened := first
		store := watchsource.NewStore()
		source := newSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		opened.Stop()
		time.Sleep(time.Second) // the source lists again, and its watch is refused
		remove(t, client, pod("1"))
		time.Sleep(time.Minute)
		wantNames(t, store, "exec-2=Pending")
	})
}

// The cases W1 of Spark's ExecutorPodsWatchSnapshotSourceSuite, and a DELETED event, which
// the suite does not have. The test itself sends the events of the watch.
func TestFakeWatchReactor(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		events := watch.NewFake()
		client.PrependWatchReactor("pods", k8stesting.DefaultWatchReactor(events, nil))
		store := &recordingStore{}
		source := newSource(store, client)
		start(t, source, "app")
		events.Add(pod("1"))
		events.Modify(pod("2"))
		events.Add(driver("app"))
		events.Delete(driver("app"))
		events.Delete(pod("1"))
		synctest.Wait()
		source.Stop()
		if got := strings.Join(store.all(), ", "); got != "replace, update exec-1, update exec-2, delete exec-1" {
			t.Errorf("the store received %q, want an empty list, two updates and a deletion", got)
		}
		if !events.IsStopped() {
			t.Error("the watch is open after Stop, want it stopped")
		}
	})
}

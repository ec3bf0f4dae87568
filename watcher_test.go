// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

// After a pod has left the selection, the watcher ignores its later events until the pod
// matches again.
func TestPodLeavesTheSelection(t *testing.T) {
	elsewhere := label(watchsource.LabelRole, "driver")
	store := &recordingStore{}
	watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
	for _, event := range []watch.Event{
		added(pod("1", uid("u"), version("1"))),
		modified(pod("1", uid("u"), version("2"), elsewhere)),
		modified(pod("1", uid("u"), version("3"), elsewhere)),
		modified(pod("1", uid("u"), version("4"))),
	} {
		must(t, watcher.Receive(event))
	}
	want := []string{"update exec-1", "delete exec-1", "update exec-1"}
	if got := store.all(); !slices.Equal(got, want) {
		t.Errorf("the store received %q, want %q", got, want)
	}
}

// droppingStore embeds a Store and forwards no updates or deletions to it, like a store that
// filters.
type droppingStore struct {
	*watchsource.Store
	deleted int
}

func (s *droppingStore) UpdatePod(*corev1.Pod) {}

func (s *droppingStore) DeletePod(*corev1.Pod) { s.deleted++ }

// A type that embeds a Store receives every deletion, even if the embedded Store does not
// have the pod.
func TestStoreThatEmbedsStore(t *testing.T) {
	store := &droppingStore{Store: watchsource.NewStore()}
	watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
	must(t, watcher.Receive(added(pod("1", uid("u"), version("1")))))
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("2"), label(watchsource.LabelRole, "driver")))))
	if store.deleted != 1 {
		t.Errorf("%d calls of DeletePod, want 1", store.deleted)
	}
}

// Receive returns an error for an event that it cannot use, and does not call the store.
func TestReceiveErrors(t *testing.T) {
	store := &recordingStore{}
	watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
	must(t, watcher.Receive(added(pod("1", uid("u")))))
	for _, event := range []struct {
		name string
		err  error
		is   func(error) bool
	}{
		{name: "ERROR", err: watcher.Receive(errorEvent(expired)), is: apierrors.IsResourceExpired},
		{name: "no object", err: watcher.Receive(modifiedObject(nil)), is: errorIs(nil)},
		{name: "a status for a pod", err: watcher.Receive(modifiedObject(&metav1.Status{})), is: errorIs(nil)},
		{name: "an unknown type", err: watcher.Receive(unknownEvent(pod("1", uid("u")))), is: errorIs(nil)},
	} {
		if event.err == nil || !strings.HasPrefix(event.err.Error(), "watchsource: ") {
			t.Errorf("%s: Receive = %v, want an error that begins with \"watchsource: \"", event.name, event.err)
		}
	}
	if got := store.all(); len(got) != 1 {
		t.Errorf("the store received %q, want only the first event", got)
	}
}

// A list replaces all earlier events, even if its version is lower. Between lists, a lower
// version is still an older state.
func TestListIsNewerThanAnyEventBefore(t *testing.T) {
	memory, recorder := watchsource.NewStore(), &recordingStore{}
	watcher := watchsource.NewWatcher(watchsource.Tee(memory, recorder), selectorOf(t, executors))
	watcher.Replace([]*corev1.Pod{pod("1", uid("u"), version("1000"), phase(corev1.PodRunning))}, "1000")
	watcher.Replace([]*corev1.Pod{pod("1", uid("u"), version("400"), phase(corev1.PodPending))}, "500")
	if got, at := names(memory.Snapshot()), memory.Snapshot().ResourceVersion(); got != "exec-1=Pending" || at != "500" {
		t.Errorf("snapshot %q at version %q, want exec-1=Pending at 500, as in the list", got, at)
	}
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("600"), phase(corev1.PodFailed)))))
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("550"), phase(corev1.PodRunning)))))
	if got := names(memory.Snapshot()); got != "exec-1=Failed" {
		t.Errorf("snapshot %q, want exec-1=Failed", got)
	}
	want := []string{"replace exec-1", "replace exec-1", "update exec-1"}
	if got := recorder.all(); !slices.Equal(got, want) {
		t.Errorf("the other store received %q, want %q", got, want)
	}
}

// A pod without a version, or with version 0, does not move the version to resume from.
func TestGuarantee2PodsWithoutAVersion(t *testing.T) {
	store := watchsource.NewStore()
	watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
	watcher.Replace(nil, "46")
	for _, v := range []string{"0", "", "45"} {
		must(t, watcher.Receive(bookmark(v)))
		if got := store.Snapshot().ResourceVersion(); got != "46" {
			t.Errorf("after a bookmark at %q the store is at %q, want 46", v, got)
		}
	}
}

func TestGuarantee2OlderStatesAreIgnored(t *testing.T) {
	store := &recordingStore{}
	watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
	must(t, watcher.Receive(added(pod("1", uid("u"), version("10")))))
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("9")))))
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("11")))))
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("odd")))))
	want := "update exec-1, update exec-1, update exec-1" // all but the state at version 9
	if got := strings.Join(store.all(), ", "); got != want {
		t.Errorf("the store received %q, want %q", got, want)
	}

	memory := watchsource.NewStore()
	memory.UpdatePod(pod("1", uid("u"), version("10"), phase(corev1.PodRunning)))
	memory.UpdatePod(pod("1", uid("u"), version("9"), phase(corev1.PodPending)))
	if got := names(memory.Snapshot()); got != "exec-1=Running" {
		t.Errorf("snapshot %q after an older state, want exec-1=Running", got)
	}
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
)

// observing is a store that also has the methods a store need not have.
type observing struct{ recordingStore }

func (s *observing) ObserveResourceVersion(v string) { s.record("version " + v) }
func (s *observing) ObserveStop()                    { s.record("stop") }

func TestTee(t *testing.T) {
	plain, full := &recordingStore{}, &observing{}
	tee := watchsource.Tee(plain, full)
	list := []*corev1.Pod{pod("1"), pod("2")}
	tee.ReplaceSnapshot(list)
	tee.UpdatePod(pod("3"))
	tee.DeletePod(pod("1"))
	tee.(interface{ ObserveResourceVersion(string) }).ObserveResourceVersion("7")
	tee.(interface{ ObserveStop() }).ObserveStop()
	want := []string{"replace exec-1 exec-2", "update exec-3", "delete exec-1"}
	if got := plain.all(); !slices.Equal(got, want) {
		t.Errorf("the first store received %q, want %q", got, want)
	}
	want = append(want, "version 7", "stop")
	if got := full.all(); !slices.Equal(got, want) {
		t.Errorf("the second store received %q, want %q", got, want)
	}
}

// reordering is a store that uses the list it is given as its own.
type reordering struct{ recordingStore }

func (s *reordering) ReplaceSnapshot(pods []*corev1.Pod) { slices.Reverse(pods) }

func TestTeeCopiesTheList(t *testing.T) {
	second := &recordingStore{}
	watchsource.Tee(&reordering{}, second).ReplaceSnapshot([]*corev1.Pod{pod("1"), pod("2")})
	if got := second.all(); !slices.Equal(got, []string{"replace exec-1 exec-2"}) {
		t.Errorf("the second store received %q, want the order before the first store changed it", got)
	}
}

// A store receives ObserveStop as the last call of a watch, and not for a watch of which
// it has received nothing.
func TestObserveStop(t *testing.T) {
	store := &observing{}
	client := fake.NewClientset()
	source := watchsource.NewWatchSnapshotSource(store, client)
	source.Stop()
	if err := source.Start(""); err == nil {
		t.Fatal("Start without an application returned nil, want an error")
	}
	if got := store.all(); len(got) != 0 {
		t.Errorf("the store received %q, want nothing before a Start that succeeds", got)
	}
	for range 2 {
		start(t, source, "app")
		source.Stop()
	}
	calls := slices.DeleteFunc(store.all(), func(call string) bool { return strings.HasPrefix(call, "version ") })
	if want := []string{"replace", "stop", "replace", "stop"}; !slices.Equal(calls, want) {
		t.Errorf("the store received %q, want %q", calls, want)
	}
}

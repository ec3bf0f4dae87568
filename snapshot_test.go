// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

func TestSnapshotLookups(t *testing.T) {
	createdAt := func(seconds int64) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(seconds, 0)) }
	}
	store := watchsource.NewStore()
	store.ReplaceSnapshot([]*corev1.Pod{
		pod("1", podtest.Named("n2", "b"), createdAt(10)),
		pod("1", podtest.Named("n1", "a"), createdAt(20)), // the same id again, younger
		pod("2", podtest.Named("n1", "b"), createdAt(5)),
		pod("22", podtest.Named("n1", "bb"), createdAt(5)),
		pod("EXECID", podtest.Named("n1", "c")),
	})
	s := store.Snapshot()
	if e, ok := s.Get("b"); !ok || e.Namespace != "n1" {
		t.Errorf("Get(b) = %v in %q, want the first namespace", ok, e.Namespace)
	}
	if e, ok := s.ByID("1"); !ok || e.Name != "a" {
		t.Errorf("ByID(1) = %v %q, want the younger pod", ok, e.Name)
	}
	if e, ok := s.ByID("2"); !ok || e.Name != "b" {
		t.Errorf("ByID(2) = %v %q, want true \"b\"", ok, e.Name)
	}
	for _, id := range []string{"", "3", "EXECID"} {
		if e, ok := s.ByID(id); ok {
			t.Errorf("ByID(%q) found %s, want none", id, e.Name)
		}
	}
	if _, ok := s.Get("bbb"); ok {
		t.Error("Get(bbb) found a pod, want none")
	}
	var order []string
	for e := range s.All() {
		order = append(order, e.Name+"/"+e.Namespace)
	}
	if got := strings.Join(order, " "); got != "a/n1 b/n1 b/n2 bb/n1 c/n1" {
		t.Errorf("the order is %s, want it by name, then by namespace", got)
	}

	// An executor id that moves to another pod's label.
	store.UpdatePod(pod("3", podtest.Named("n1", "a"), createdAt(20)))
	if e, _ := store.Snapshot().ByID("1"); e.Name != "b" {
		t.Errorf("ByID(1) = %q after the other pod gave the id up, want \"b\"", e.Name)
	}
	store.DeletePod(pod("2", podtest.Named("n1", "b")))
	if _, ok := store.Snapshot().ByID("2"); ok {
		t.Error("ByID(2) finds a deleted executor, want none")
	}
}

// second sets the time of creation.
func second(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0)) }

// ofSecond is a pod with executor id 1, created in that second.
func ofSecond(name, resourceVersion string, more ...func(*corev1.Pod)) *corev1.Pod {
	return pod("1", append([]func(*corev1.Pod){podtest.Named("jobs", name), uid(name), version(resourceVersion), second}, more...)...)
}

func rejected(p *corev1.Pod) { phase(corev1.PodFailed)(p); status("OutOfcpu", "")(p) }

func updateStore(s *watchsource.Store, p *corev1.Pod) { s.UpdatePod(p) }

func replaceStore(s *watchsource.Store, pods ...*corev1.Pod) { s.ReplaceSnapshot(pods) }

// idsOfOneSecond are the cases of TestByIDOfPodsOfOneSecond.
var idsOfOneSecond = []struct {
	name string
	fill func(*watchsource.Store)
	want string
}{
	{name: "the first has failed", want: "b", fill: func(s *watchsource.Store) {
		updateStore(s, ofSecond("a", "1"))
		updateStore(s, ofSecond("b", "2", phase(corev1.PodRunning)))
		updateStore(s, ofSecond("a", "3", rejected))
	}},
	{name: "both have failed", want: "b", fill: func(s *watchsource.Store) {
		updateStore(s, ofSecond("a", "1"))
		updateStore(s, ofSecond("b", "2", rejected))
		updateStore(s, ofSecond("a", "3", rejected))
	}},
	{name: "the first by its version, but not by its name", want: "a", fill: func(s *watchsource.Store) {
		updateStore(s, ofSecond("b", "1", phase(corev1.PodRunning)))
		updateStore(s, ofSecond("a", "2", rejected))
	}},
	{name: "after a list, which has newer versions", want: "b", fill: func(s *watchsource.Store) {
		updateStore(s, ofSecond("a", "1"))
		updateStore(s, ofSecond("b", "2"))
		replaceStore(s, ofSecond("a", "9", rejected), ofSecond("b", "8", rejected))
	}},
	{name: "the same with other pods between them", want: "b", fill: func(s *watchsource.Store) {
		replaceStore(s, ofSecond("a", "1"), pod("7", uid("7"), podtest.Named("jobs", "aa")), pod("8", uid("8"), podtest.Named("jobs", "c")))
		updateStore(s, ofSecond("b", "2"))
		replaceStore(s, pod("9", uid("9"), podtest.Named("jobs", "0")), ofSecond("a", "9", rejected), ofSecond("b", "8", rejected))
	}},
	{name: "after the id of one has changed", want: "b", fill: func(s *watchsource.Store) {
		updateStore(s, ofSecond("a", "1", label(watchsource.LabelExecutorID, "5")))
		updateStore(s, ofSecond("b", "2"))
		updateStore(s, ofSecond("a", "3"))
	}},
	{name: "the first created again while nobody watched", want: "a", fill: func(s *watchsource.Store) {
		replaceStore(s, ofSecond("a", "1"), ofSecond("b", "2"))
		replaceStore(s, ofSecond("a", "9", rejected, uid("again")), ofSecond("b", "8", rejected))
	}},
	{name: "created a second later, but seen first", want: "b", fill: func(s *watchsource.Store) {
		updateStore(s, ofSecond("b", "1", rejected, func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_001, 0)) }))
		updateStore(s, ofSecond("a", "2"))
	}},
	{name: "one without a version", want: "a", fill: func(s *watchsource.Store) {
		updateStore(s, ofSecond("a", ""))
		updateStore(s, ofSecond("b", "2", rejected))
	}},
	{name: "without versions", want: "b", fill: func(s *watchsource.Store) {
		replaceStore(s, ofSecond("a", "", rejected), ofSecond("b", ""))
	}},
	{name: "without versions, in the other order", want: "a", fill: func(s *watchsource.Store) {
		replaceStore(s, ofSecond("a", ""), ofSecond("b", "", rejected))
	}},
}

// Of several pods with one executor id, ByID returns the pod that was created last, even if
// a scheduler replaces an executor within a second (kubernetes#141210).
func TestByIDOfPodsOfOneSecond(t *testing.T) {
	for _, test := range idsOfOneSecond {
		store := watchsource.NewStore()
		test.fill(store)
		if e, _ := store.Snapshot().ByID("1"); e.Name != test.want {
			t.Errorf("%s: ByID(1) = %s, want %s", test.name, e.Name, test.want)
		}
	}
}

func TestZeroSnapshot(t *testing.T) {
	var s watchsource.Snapshot
	for range s.All() {
		t.Error("the zero Snapshot has an executor, want none")
	}
	_, named := s.Get("a")
	_, identified := s.ByID("1")
	if named || identified || s.Len() != 0 || s.Count(watchsource.Running) != 0 || s.Complete() || s.ResourceVersion() != "" || !s.SyncedAt().IsZero() {
		t.Error("the zero Snapshot is not empty, want no executor, version or time")
	}
	if s.Count(200) != 0 {
		t.Error("Count of an impossible state is not 0, want 0")
	}
}

func TestSnapshotContains(t *testing.T) {
	store := watchsource.NewStore()
	if store.Snapshot().Contains("1") {
		t.Error("an empty snapshot contains version 1, want none")
	}
	store.UpdatePod(pod("1", version("99")))
	for version, want := range map[string]bool{"98": true, "99": true, "100": false, "": false, "x": false, "0": false} {
		if got := store.Snapshot().Contains(version); got != want {
			t.Errorf("Contains(%q) = %v at version 99, want %v", version, got, want)
		}
	}
}

func TestStateString(t *testing.T) {
	got := fmt.Sprint(watchsource.Unknown, watchsource.Deleted, watchsource.State(77), watchsource.Retrying, watchsource.Phase(9))
	if got != "Unknown Deleted State(77) Retrying Phase(9)" {
		t.Error(got)
	}
}

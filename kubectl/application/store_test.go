// SPDX-License-Identifier: Apache-2.0

package application

import (
	"maps"
	"slices"
	"testing"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func executorPod(namespace, name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name), Labels: labels,
	}}
}

// An application is the pods with one label in one namespace. A store for one name has all pods
// together.
func TestStore(t *testing.T) {
	pods := []*corev1.Pod{
		executorPod("jobs", "a-1", map[string]string{watchsource.LabelApp: "a"}),
		executorPod("jobs", "a-2", map[string]string{watchsource.LabelApp: "a"}),
		executorPod("jobs", "b-1", map[string]string{watchsource.LabelApp: "b"}),
		executorPod("other", "a-1", map[string]string{watchsource.LabelApp: "a"}),
		executorPod("jobs", "none", nil),
	}
	for _, row := range []struct {
		name string
		want map[ID]int
	}{
		{"", map[ID]int{{"jobs", "a"}: 2, {"jobs", "b"}: 1, {"other", "a"}: 1}},
		{"a", map[ID]int{Named("a"): 5}},
	} {
		store := NewStore(row.name)
		store.ReplaceSnapshot(pods)
		got := map[ID]int{}
		for id := range store.Owners() {
			got[id] = store.Snapshot(id).Len()
		}
		if !maps.Equal(got, row.want) {
			t.Errorf("NewStore(%q): executors by application are %v, want %v", row.name, got, row.want)
		}
	}
}

func TestSorted(t *testing.T) {
	ids := []ID{{"other", "a"}, {"jobs", "b"}, {"jobs", "a"}}
	if got, want := Sorted(slices.Values(ids)), []ID{{"jobs", "a"}, {"jobs", "b"}, {"other", "a"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A pod that belongs to another application exists: it is not deleted. An end that it has had
// stays.
func TestUnselected(t *testing.T) {
	for _, row := range []struct {
		name   string
		before *watchsource.Executor
		causes string
		gone   bool
		failed int
		how    watchsource.Departure
	}{
		{"running", executor(1, watchsource.Running), "Relabelled 1", false, 0, watchsource.Unselected},
		{"not shown before", nil, "Relabelled 1", false, 0, watchsource.Unselected},
		{"failed", executor(1, watchsource.Failed), "Failed 1", false, 1, watchsource.Unselected},
		{"running, deleted", executor(1, watchsource.Running), "Deleted 1", true, 0, watchsource.Seen},
		{"running, missed", executor(1, watchsource.Running), "Deleted 1", true, 0, watchsource.Missed},
		{"failed, deleted", executor(1, watchsource.Failed), "Failed 1", true, 1, watchsource.Seen},
	} {
		t.Run(row.name, func(t *testing.T) {
			app := New(ID{"jobs", "a"})
			if row.before != nil {
				app.Apply([]watchsource.Change{{After: row.before, Ended: row.before.State.Ended()}}, Moment{At: begin})
			}
			app.Apply([]watchsource.Change{{Before: row.before, After: executor(1, watchsource.Deleted), Gone: row.how}}, Moment{At: begin})
			end := app.Ends.Page(0, 1)[0]
			if app.Ends.Causes() != row.causes || end.Gone != row.gone || app.Ends.Failed() != row.failed || app.Rows.Total() != 0 {
				t.Errorf("got %q, pod gone: %v, %d failed, %d present; want %q, %v, %d, none present",
					app.Ends.Causes(), end.Gone, app.Ends.Failed(), app.Rows.Total(), row.causes, row.gone, row.failed)
			}
		})
	}
}

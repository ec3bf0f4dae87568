// SPDX-License-Identifier: Apache-2.0

package application

import (
	"fmt"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// at returns a time after the creation of the pods.
func at(minutes float64) time.Time { return begin.Add(time.Duration(minutes * float64(time.Minute))) }

// when returns what an end says about its time: "10m0s" after the creation of the pod, or "before
// 10m0s", and the life or "-".
func when(end *End) string {
	text := end.At.Sub(begin).String()
	if end.Before {
		text = "before " + text
	}
	life, known := end.Lived()
	if !known {
		return text + ", -"
	}
	return fmt.Sprint(text, ", ", life)
}

// run returns an executor in a state, with a start and a finish in minutes after the creation of its pod; 0 is
// unknown.
func run(state watchsource.State, start, finish float64) *watchsource.Executor {
	e := executor(1, state)
	if start != 0 {
		e.StartedAt = at(start)
	}
	if finish != 0 {
		e.FinishedAt = at(finish)
	}
	return e
}

// An end has the time that its pod says. Otherwise it has the time of the change, or, if the change may be
// older, only an upper bound and no life.
func TestTimeOfAnEnd(t *testing.T) {
	const failed, running, pending, deleted = watchsource.Failed, watchsource.Running, watchsource.Pending, watchsource.Deleted
	shown := at(10)
	for _, row := range []struct {
		name          string
		before, after *watchsource.Executor
		gone          watchsource.Departure
		late          bool
		want          string
	}{
		{"the pod says it", run(running, 1, 0), run(failed, 1, 9), 0, false, "9m0s, 8m0s"},
		{"the pod says it, at the start of the screen", nil, run(failed, 1, 9), 0, true, "9m0s, 8m0s"},
		{"no finish, seen live", run(running, 1, 0), run(failed, 1, 0), 0, false, "10m0s, 9m0s"},
		{"no finish, start lost with the status", run(running, 1, 0), run(failed, 0, 0), 0, false, "10m0s, 9m0s"},
		{"no finish, never started", run(pending, 0, 0), run(failed, 0, 0), 0, false, "10m0s, -"},
		{"no finish, at the start of the screen", nil, run(failed, 1, 0), 0, true, "before 10m0s, -"},
		{"no finish, after an interruption", run(running, 1, 0), run(failed, 1, 0), 0, true, "before 10m0s, -"},
		{"no finish, an old pod that comes with other labels", nil, run(failed, 1, 0), 0, false, "before 10m0s, -"},
		{"the second run ends without a finish", run(failed, 1, 2), run(failed, 0, 0), 0, false, "10m0s, -"},
		{"succeeded without a container status", run(running, 1, 0), run(watchsource.Succeeded, 0, 0), 0, true, "before 10m0s, -"},

		{"deleted, seen", run(running, 1, 0), run(deleted, 1, 0), watchsource.Seen, false, "10m0s, 9m0s"},
		{"deleted, seen after an interruption", run(running, 1, 0), run(deleted, 1, 0), watchsource.Seen, true, "before 10m0s, -"},
		{"deleted, missed", run(running, 1, 0), run(deleted, 1, 0), watchsource.Missed, false, "before 10m0s, -"},
		{"deleted before the start", run(pending, 0, 0), run(deleted, 0, 0), watchsource.Seen, false, "10m0s, -"},
		{"deleted between two runs", run(pending, 0, 5), run(deleted, 0, 5), watchsource.Seen, false, "10m0s, -"},
		{"relabelled", run(running, 1, 0), run(deleted, 1, 0), watchsource.Unselected, false, "10m0s, 9m0s"},
		{"relabelled during an interruption", run(running, 1, 0), run(deleted, 1, 0), watchsource.Unselected, true, "before 10m0s, -"},

		{"the clock of the node is 5 minutes fast", run(running, 6, 0), run(failed, 6, 15), 0, false, "10m0s, 9m0s"},
		{"the same, at the start of the screen", nil, run(failed, 6, 15), 0, true, "before 10m0s, 9m0s"},
		{"the clock of the node is an hour slow", nil, run(failed, -59, -51), 0, true, "before 10m0s, 8m0s"},
		{"the clock of the node is a few seconds fast", run(running, 1, 0), run(failed, 1, 10.1), 0, false, "10m6s, 9m6s"},
		{"the clock was put back", run(running, 5, 0), run(failed, 5, 3), 0, false, "3m0s, -"},
		{"the clock was put forward by a day", run(running, 1, 0), run(failed, 1, 1450), 0, false, "10m0s, -"},
		{"finished in 1970", nil, with(run(failed, 1, 0), func(e *watchsource.Executor) { e.FinishedAt = time.Unix(0, 0) }), 0, true, "before 10m0s, -"},
		{"started in 1970", nil, with(run(failed, 0, 9), func(e *watchsource.Executor) { e.StartedAt = time.Unix(0, 0) }), 0, true, "9m0s, -"},
	} {
		app := New(Named("app"))
		change := watchsource.Change{Before: row.before, After: row.after, Ended: row.after.State.Ended(), Gone: row.gone}
		app.Apply([]watchsource.Change{change}, Moment{At: shown, Late: row.late})
		if got := when(app.Ends.Page(0, 1)[0]); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func with(e *watchsource.Executor, change func(*watchsource.Executor)) *watchsource.Executor {
	change(e)
	return e
}

// A pod that the kubelet has evicted says when in a condition. The condition of the garbage collector is
// later than the end.
func TestTimeOfADisruption(t *testing.T) {
	for _, row := range []struct {
		name      string
		condition corev1.PodCondition
		want      string
	}{
		{"the kubelet", corev1.PodCondition{Reason: "TerminationByKubelet", Status: corev1.ConditionTrue}, "4m0s, -"},
		{"the garbage collector", corev1.PodCondition{Reason: "DeletionByPodGC", Status: corev1.ConditionTrue}, "before 4m0s, -"},
		{"the taint manager", corev1.PodCondition{Reason: "DeletionByTaintManager", Status: corev1.ConditionTrue}, "before 10m0s, -"},
		{"no more", corev1.PodCondition{Reason: "TerminationByKubelet", Status: corev1.ConditionFalse}, "before 10m0s, -"},
	} {
		pod := executorPod("jobs", "a-1", map[string]string{watchsource.LabelApp: "a"})
		pod.CreationTimestamp = metav1.NewTime(begin)
		row.condition.Type, row.condition.LastTransitionTime = corev1.DisruptionTarget, metav1.NewTime(at(4))
		pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Conditions: []corev1.PodCondition{row.condition}}
		store := watchsource.NewStore()
		store.ReplaceSnapshot([]*corev1.Pod{pod})
		e, _ := store.Snapshot().Get("a-1")

		app := New(Named("a"))
		app.Apply([]watchsource.Change{{After: &e, Ended: true}}, Moment{At: at(10), Late: true})
		if got := when(app.Ends.Page(0, 1)[0]); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

// A pod that is created again with the name of another one is another executor.
func TestPodCreatedAgain(t *testing.T) {
	app := New(Named("app"))
	first, second := executor(1, watchsource.Failed), executor(1, watchsource.Running)
	first.UID, second.UID = "first", "second"
	gone := *first
	gone.State = watchsource.Deleted
	app.Apply([]watchsource.Change{
		{After: first, Ended: true}, {Before: first, After: &gone, Gone: watchsource.Missed}, {After: second},
	}, Moment{At: begin})
	if end := app.Ends.Last(KeyOf(first)); end == nil || end.Executor.UID != "first" || !end.Gone {
		t.Errorf("the end of the first pod is %+v, want it, gone", end)
	}
	if end := app.Ends.Last(KeyOf(second)); end != nil {
		t.Errorf("the second pod has the end %+v, want none", end)
	}
	if got := app.Rows.Get(KeyOf(second)); got != second {
		t.Errorf("the executor of the second pod is %v, want %v", got, second)
	}
}

// An executor that the kubelet starts again may end again. A pod that leaves and comes back has ended once.
func TestEndsOfOnePod(t *testing.T) {
	app := New(Named("app"))
	m := Moment{At: at(10)}
	first, second := run(watchsource.Failed, 1, 2), run(watchsource.Failed, 3, 4)
	second.Restarts = 1
	app.Apply([]watchsource.Change{{After: first, Ended: true}}, m)
	app.Apply([]watchsource.Change{{Before: first, After: second, Ended: true}}, m)
	left := *second
	left.State = watchsource.Deleted
	app.Apply([]watchsource.Change{{Before: second, After: &left, Gone: watchsource.Unselected}}, m)
	app.Apply([]watchsource.Change{{After: second, Ended: true}}, m)
	if got := app.Ends.Causes(); got != "Failed 2" || app.Ends.Len() != 2 {
		t.Errorf("got %q in %d rows, want two ends", got, app.Ends.Len())
	}
	if end := app.Ends.Last(KeyOf(second)); end.Number != 2 || end.Gone {
		t.Errorf("the last end is number %d, pod gone: %v; want the second, whose pod is there", end.Number, end.Gone)
	}
}

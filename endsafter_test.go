// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
)

// Ends after a restore, a return of the pod, a dropped backlog, and in a last state.

// exitCodes returns the exit codes of the ends in a batch.
func exitCodes(batch watchsource.Batch) []int32 {
	var codes []int32
	for _, change := range batch.Changes {
		if change.Ended {
			codes = append(codes, change.After.ExitCode)
		}
	}
	return codes
}

// A server that was restored lists an earlier state of a pod, and then the kubelet writes the
// newest one again. A reader is shown no end twice, and each end of the new history.
func TestEndsAfterARestore(t *testing.T) {
	states := func(version int, changes ...func(*corev1.Pod)) *corev1.Pod {
		p := pod("1", append([]func(*corev1.Pod){uid("u"), phase(corev1.PodRunning), restartPolicyAlways}, changes...)...)
		p.ResourceVersion = fmt.Sprint(version)
		return p
	}
	a, b, c := endedIn("a", 1, "Error", 1), endedIn("b", 2, "Error", 20), endedIn("c", 3, "Error", 40)
	d := endedIn("d", 4, "Error", 60)
	before := []*corev1.Pod{
		states(10, mainStatus("a", 0, a)), states(11, mainStatus("b", 1, b, a)),
		states(12, mainStatus("c", 2, running(), b)), states(13, mainStatus("c", 2, c, b)),
	}
	for _, test := range []struct {
		name     string
		restored *corev1.Pod
		after    *corev1.Pod
		// want has the exit codes of the ends after the restore.
		want []int32
	}{
		{name: "to a run", restored: states(5, mainStatus("b", 1, running(), a)), after: states(6, mainStatus("c", 2, c, b))},
		{name: "to an end", restored: states(5, mainStatus("b", 1, b, a)), after: states(6, mainStatus("c", 2, c, b))},
		{name: "to a wait", restored: states(5, mainStatus("b", 1, waiting("CrashLoopBackOff"), b)), after: states(6, mainStatus("c", 2, c, b))},
		{name: "to a pending pod", restored: states(5, phase(corev1.PodPending)), after: states(6, mainStatus("c", 2, c, b))},
		{
			name: "to another history", restored: states(5, mainStatus("d", 3, running(), c)),
			after: states(6, mainStatus("d", 3, d, c)), want: []int32{4},
		},
		{
			name: "to a history of two more runs", restored: states(5, mainStatus("e", 4, running(), d)),
			after: states(6, mainStatus("e", 4, running(), d)), want: []int32{4},
		},
	} {
		for _, options := range [][]watchsource.StoreOption{nil, {watchsource.WithoutPods()}} {
			store := watchsource.NewStore(options...)
			reader := newBatchReader(t, store, 0)
			reader.next()
			for _, p := range before {
				store.UpdatePod(p)
			}
			reader.next()
			store.ReplaceSnapshot([]*corev1.Pod{test.restored})
			store.UpdatePod(test.after)
			batch, _ := reader.next()
			if got := exitCodes(batch); !slices.Equal(got, test.want) {
				t.Errorf("%s: shown ends with the exit codes %v after the restore, want %v", test.name, got, test.want)
			}
		}
	}
}

// A pod that is reported gone and comes back, because its labels moved to another application
// and back (airflow#35800), is another executor to the store. Its end is shown again, with
// the same UID and start.
func TestEndOfAPodThatComesBack(t *testing.T) {
	store := watchsource.NewStore()
	watcher := watchsource.NewWatcher(store, selectorOf(t, "spark-app-selector=app"))
	reader := newBatchReader(t, store, 0)
	reader.next()
	end := pod("1", uid("u"), version("1"), phase(corev1.PodFailed), mainStatus("a", 0, endedIn("a", 1, "Error", 1)))
	moved := end.DeepCopy()
	label("spark-app-selector", "other")(moved)
	moved.ResourceVersion = "2"
	back := end.DeepCopy()
	back.ResourceVersion = "3"
	var ends []watchsource.Executor
	for _, p := range []*corev1.Pod{end, moved, back} {
		must(t, watcher.Receive(modified(p)))
		batch, _ := reader.next()
		for _, c := range batch.Changes {
			if c.Ended {
				ends = append(ends, *c.After)
			}
		}
	}
	if len(ends) != 2 || ends[0].UID != ends[1].UID || !ends[0].StartedAt.Equal(ends[1].StartedAt) {
		t.Errorf("shown the ends %+v, want one for each time that the pod came, with one UID and start", ends)
	}
}

// The start of a run that the kubelet has lost is known.
func TestStartOfALostRun(t *testing.T) {
	for _, lost := range []*corev1.Pod{
		pod("1", uid("u"), phase(corev1.PodFailed), mainStatus("", 3, lostEnd(), lostEnd())),
		pod("1", uid("u"), phase(corev1.PodFailed)),
	} {
		store := watchsource.NewStore()
		store.UpdatePod(pod("1", uid("u"), phase(corev1.PodRunning), mainStatus("a", 3, running())))
		reader := newBatchReader(t, store, 0)
		reader.next()
		store.UpdatePod(lost)
		reader.want(t, "exec-1 Running>Failed")
		if e, _ := store.Snapshot().Get("exec-1"); e.State != watchsource.Failed || e.Restarts != 3 || !e.StartedAt.Equal(running().Running.StartedAt.Time) || !e.FinishedAt.IsZero() {
			t.Errorf("got %+v, want Failed with the start and the restarts of the run, and without an end", e)
		}
	}
}

// An end that is kept beside a status that contradicts it has the disruption, the other problems
// and the restarts that the pod shows, or has shown.
func TestDetailsOfAKeptEnd(t *testing.T) {
	store := watchsource.NewStore()
	store.UpdatePod(pod("1", uid("u"), version("1"), phase(corev1.PodRunning), mainStatus("a", 2, endedIn("a", 0, "Completed", 1))))
	store.UpdatePod(pod("1", uid("u"), version("2"), phase(corev1.PodFailed), condition(corev1.DisruptionTarget,
		corev1.ConditionTrue, "EvictionByEvictionAPI"),
		container("worker", running()), container("sidecar", running())))
	const problem = "no container is named spark-kubernetes-executor; set WithExecutorContainer; " +
		"the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, EvictionByEvictionAPI"
	e, _ := store.Snapshot().Get("exec-1")
	if e.State != watchsource.Succeeded || e.Disruption != "EvictionByEvictionAPI" || e.Restarts != 2 || e.Problem != problem {
		t.Errorf("got %v, disruption %q, %d restarts, problem %q;\nwant Succeeded, EvictionByEvictionAPI, 2, %q", e.State,
			e.Disruption, e.Restarts, e.Problem, problem)
	}
}

// A reader whose backlog was given up is shown the ends that it has not been
// shown, and no others.
func TestEndsAfterBacklogLimit(t *testing.T) {
	store := watchsource.NewStore(watchsource.WithBacklogLimit(3))
	end := func(id string, second int64, more ...func(*corev1.Pod)) *corev1.Pod {
		state := ended(1, "Error")
		state.Terminated.FinishedAt = metav1.Unix(second, 0)
		return pod(id, append([]func(*corev1.Pod){uid(id), phase(corev1.PodRunning), container(executorContainer, state)}, more...)...)
	}
	runs := func(id string) *corev1.Pod {
		return pod(id, uid(id), phase(corev1.PodRunning), container(executorContainer, running()))
	}
	store.ReplaceSnapshot([]*corev1.Pod{end("before", 1), end("twice", 1), end("back", 1), runs("within"), runs("after")})
	reader := newBatchReader(t, store, 0)
	reader.next()
	store.UpdatePod(end("within", 2))
	for _, id := range []string{"x", "y", "z"} {
		store.UpdatePod(runs(id))
	}
	if backlogs := store.Backlogs(); len(backlogs) != 1 || !backlogs[0].Dropped {
		t.Fatalf("backlogs %+v, want one that was given up", backlogs)
	}
	store.UpdatePod(end("after", 3))
	store.UpdatePod(runs("twice"))
	store.UpdatePod(end("twice", 4))
	store.DeletePod(end("back", 1)) // as if its labels had changed, and changed back
	store.UpdatePod(end("back", 1))
	store.UpdatePod(end("before", 1, deleting))
	batch, _ := reader.next()
	var got []string
	for _, c := range batch.Changes {
		if c.Ended {
			got = append(got, c.After.ID)
		}
	}
	if want := []string{"after", "back", "twice", "within"}; !slices.Equal(got, want) || !batch.Full {
		t.Errorf("full %v, ends of %v, want %v", batch.Full, got, want)
	}
}

// The end in a container's last state stays the end of the pod after the container's
// status is gone, although that status was about the run that was to follow.
func TestEndInLastStateIsKept(t *testing.T) {
	state := ended(137, "ContainerStatusUnknown")
	state.Terminated.ContainerID = runID(0)
	waits := container(executorContainer, waiting("ContainerCreating"))
	lost := pod("1", uid("u"), version("1"), phase(corev1.PodFailed), waits, func(p *corev1.Pod) {
		status := &p.Status.ContainerStatuses[0]
		status.RestartCount, status.ContainerID, status.LastTerminationState = 1, runID(1), state
	})
	store := watchsource.NewStore()
	reader := newBatchReader(t, store, 0)
	reader.next()
	ends := 0
	for i, p := range []*corev1.Pod{lost, pod("1", uid("u"), version("2"), phase(corev1.PodFailed)), pod("1", uid("u"), version("3"))} {
		store.UpdatePod(p)
		if batch, _ := reader.next(); batch.Changes[0].Ended {
			ends++
		}
		if e, _ := store.Snapshot().Get("exec-1"); e.State != watchsource.Failed || e.ExitCode != 137 {
			t.Errorf("state %d: %v, exit code %d, want Failed, 137", i, e.State, e.ExitCode)
		}
	}
	if ends != 1 {
		t.Errorf("%d ends, want 1", ends)
	}
}

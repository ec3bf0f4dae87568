// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
)

func TestExecutorFields(t *testing.T) {
	p := pod("7", uid("u-7"), version("42"), phase(corev1.PodFailed), container(executorContainer,
		ended(137, "OOMKilled")), func(p *corev1.Pod) {
		p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0))
		p.Spec.NodeName = "node-3"
		p.Status.PodIP = "10.1.2.3"
		p.Status.ContainerStatuses[0].State.Terminated.Message = "the heap was full"
	})
	want := watchsource.Executor{
		Name: "exec-7", Namespace: "jobs", UID: "u-7", ID: "7", Node: "node-3", PodIP: "10.1.2.3",
		State: watchsource.Failed, ExitCode: 137, Reason: "OOMKilled", Message: "the heap was full",
		CreatedAt: time.Unix(1_700_000_000, 0), StartedAt: time.Unix(1_700_000_100, 0), FinishedAt: time.Unix(1_700_000_200, 0),
		ResourceVersion: "42",
	}
	store := watchsource.NewStore()
	store.UpdatePod(p)
	if got, _ := store.Snapshot().ByID("7"); !got.Equal(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	slim := watchsource.NewStore(watchsource.WithoutPods())
	slim.UpdatePod(p)
	if got, _ := slim.Snapshot().ByID("7"); !got.Equal(want) {
		t.Errorf("without pods: got  %+v\nwant %+v", got, want)
	}
}

var preempted = condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler")

// neverStarted is the end of a container that did not start (kubernetes#120331).
func neverStarted() corev1.ContainerState {
	state := ended(128, "StartError")
	state.Terminated.StartedAt = metav1.NewTime(time.Unix(0, 0))
	return state
}

// executorDetails are the cases of TestExecutorDetails.
var executorDetails = []struct {
	name  string
	pod   *corev1.Pod
	check func(watchsource.Executor) bool
}{
	{name: "disruption of a failed executor", pod: pod("1", phase(corev1.PodFailed), preempted,
		container(executorContainer, ended(137, "OOMKilled"))),
		check: func(e watchsource.Executor) bool {
			return e.Disruption == "PreemptionByScheduler" && e.Reason == "OOMKilled"
		}},
	{name: "disruption of one that succeeded", pod: pod("1", phase(corev1.PodSucceeded), preempted,
		container(executorContainer, ended(0, "Completed"))),
		check: func(e watchsource.Executor) bool {
			return e.Disruption == "PreemptionByScheduler" && e.State == watchsource.Succeeded
		}},
	{name: "evicted by Kueue (kueue#2160)", pod: pod("1", phase(corev1.PodFailed), deleting, container(executorContainer, ended(143, "Error")),
		condition("TerminationTarget", corev1.ConditionTrue, "WorkloadEvictedDueToPreempted")),
		check: func(e watchsource.Executor) bool {
			return e.Disruption == "WorkloadEvictedDueToPreempted" && e.Reason == "WorkloadEvictedDueToPreempted" && e.ExitCode == 143
		}},
	{name: "evicted by Kueue and disrupted",
		pod: pod("1", phase(corev1.PodFailed), preempted, container(executorContainer, ended(143, "Error")),
			condition("TerminationTarget", corev1.ConditionTrue, "WorkloadEvictedDueToPreempted")),
		check: func(e watchsource.Executor) bool { return e.Disruption == "PreemptionByScheduler" }},
	{name: "not evicted by Kueue any more", pod: pod("1", phase(corev1.PodRunning),
		condition("TerminationTarget", corev1.ConditionFalse, "WorkloadEvictedDueToPreempted")),
		check: func(e watchsource.Executor) bool { return e.Disruption == "" && e.Reason == "" }},
	{name: "out of memory under a verdict with exit code 0", pod: pod("1", phase(corev1.PodFailed),
		status("Evicted", "low on memory"), container(executorContainer, ended(0, "OOMKilled"))),
		check: func(e watchsource.Executor) bool {
			return e.State == watchsource.Failed && e.Reason == "OOMKilled" && e.ExitCode == 0
		}},
	{name: "the message of a verdict", pod: pod("1", phase(corev1.PodFailed), status("Evicted", "low on memory"),
		container(executorContainer, ended(0, "Completed"))),
		check: func(e watchsource.Executor) bool { return e.Reason == "Evicted" && e.Message == "low on memory" }},
	{name: "a disruption that is over", pod: pod("1", phase(corev1.PodRunning),
		condition(corev1.DisruptionTarget, corev1.ConditionFalse, "PreemptionByScheduler")),
		check: func(e watchsource.Executor) bool { return e.Disruption == "" && e.Reason == "" }},
	{name: "restarts", pod: pod("1", phase(corev1.PodRunning), restartPolicyAlways,
		container(executorContainer, waiting("CrashLoopBackOff")), lastEnd(137, "OOMKilled", 7)),
		check: func(e watchsource.Executor) bool {
			return e.Restarts == 7 && e.Message == "CrashLoopBackOff it is; the last run ended with exit code 137, OOMKilled"
		}},
	{name: "never started", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, neverStarted())),
		check: func(e watchsource.Executor) bool {
			return e.StartedAt.IsZero() && e.FinishedAt.Equal(time.Unix(1_700_000_200, 0)) && e.ExitCode == 128
		}},
	{name: "an init container that failed the pod", pod: pod("1", phase(corev1.PodFailed),
		initContainer("proxy", "Always", ended(137, "Error")), initContainer("fetch", "", ended(4, "OOMKilled"))),
		check: func(e watchsource.Executor) bool { return e.Message == "init container fetch ended with exit code 4" }},
	{name: "a container that a rule restarts", pod: pod("1", phase(corev1.PodRunning),
		container(executorContainer, ended(42, "Error")), restartRule("In", "Restart", 42)),
		check: func(e watchsource.Executor) bool {
			return e.Message == "the executor container ended with exit code 42; it is started again" && e.FinishedAt.IsZero() && !e.StartedAt.IsZero()
		}},
	{name: "no container with the name", pod: pod("1", phase(corev1.PodRunning), container("worker", ended(0, "Completed")),
		container("sidecar", running())),
		check: func(e watchsource.Executor) bool {
			return e.Problem == "no container is named spark-kubernetes-executor; set WithExecutorContainer"
		}},
	{name: "no container has a status yet", pod: pod("1"), check: func(e watchsource.Executor) bool { return e.Problem == "" }},
	{name: "resized in place", pod: pod("1", phase(corev1.PodRunning), container(executorContainer, running()),
		condition(corev1.PodResizeInProgress, corev1.ConditionTrue, "Error")),
		check: func(e watchsource.Executor) bool { return e.Reason == "" && e.State == watchsource.Running }},
	{name: "no times", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: 1},
	})),
		check: func(e watchsource.Executor) bool {
			return e.StartedAt.IsZero() && e.FinishedAt.IsZero() && e.ExitCode == 1
		}},
	{name: "a negative exit code, as on Windows", pod: pod("1", phase(corev1.PodFailed),
		container(executorContainer, ended(-1073741510, "Error"))),
		check: func(e watchsource.Executor) bool { return e.State == watchsource.Failed && e.ExitCode == -1073741510 }},
}

// What an executor says beside its state and its reason, also in a store that
// keeps no pods.
func TestExecutorDetails(t *testing.T) {
	for _, test := range executorDetails {
		for _, options := range [][]watchsource.StoreOption{nil, {watchsource.WithoutPods()}} {
			store := watchsource.NewStore(options...)
			store.UpdatePod(test.pod)
			if e, _ := store.Snapshot().Get("exec-1"); !test.check(e) {
				t.Errorf("%s: got %+v, want what the row checks", test.name, e)
			}
		}
	}
}

// A pod that loses the status of its executor container keeps the end that it had
// (kubernetes#117955), and says what contradicts it.
func TestEndIsKept(t *testing.T) {
	rejected := pod("1", uid("u"), version("2"), phase(corev1.PodFailed), status("UnexpectedAdmissionError", "no devices"))
	const contradicted = "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, UnexpectedAdmissionError"
	deliveries := map[string]func(watchsource.SnapshotsStore, *corev1.Pod){
		"updates": watchsource.SnapshotsStore.UpdatePod,
		"lists":   func(s watchsource.SnapshotsStore, p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) },
		"a tee": func(s watchsource.SnapshotsStore, p *corev1.Pod) {
			watchsource.Tee(watchsource.NewStore(), s).UpdatePod(p)
		},
	}
	for _, end := range []struct {
		code    int32
		reason  string
		phase   corev1.PodPhase
		state   watchsource.State
		problem string
	}{
		{code: 0, reason: "Completed", phase: corev1.PodSucceeded, state: watchsource.Succeeded, problem: contradicted},
		{code: 3, reason: "Error", phase: corev1.PodFailed, state: watchsource.Failed},
	} {
		for name, deliver := range deliveries {
			for _, options := range [][]watchsource.StoreOption{nil, {watchsource.WithoutPods()}} {
				store := watchsource.NewStore(options...)
				reader := newBatchReader(t, store, 0)
				reader.next()
				deliver(store, pod("1", uid("u"), version("1"), phase(end.phase), container(executorContainer, ended(end.code, end.reason))))
				reader.next()
				deliver(store, rejected)
				deliver(store, rejected)
				e, _ := store.Snapshot().Get("exec-1")
				if e.State != end.state || e.ExitCode != end.code || e.Reason != end.reason || e.FinishedAt.IsZero() || e.Problem != end.problem {
					t.Errorf("%s: got %+v, want %+v", name, e, end)
				}
				store.DeletePod(rejected)
				batch, _ := reader.next()
				for _, c := range batch.Changes {
					if c.Ended || c.After.ExitCode != end.code {
						t.Errorf("%s, exit code %d: shown another end %+v, want none", name, end.code, c.After)
					}
				}
			}
		}
	}
}

// In an earlier history of the server the end has not happened.
func TestEndIsForgottenInAnEarlierHistory(t *testing.T) {
	store := watchsource.NewStore()
	store.UpdatePod(pod("1", uid("u"), version("9"), phase(corev1.PodSucceeded), container(executorContainer, ended(0, "Completed"))))
	store.ReplaceSnapshot([]*corev1.Pod{pod("1", uid("u"), version("3"))})
	if e, _ := store.Snapshot().Get("exec-1"); e.State != watchsource.Pending || e.ExitCode != watchsource.UnknownExitCode {
		t.Errorf("restored to before its end: got %+v, want Pending without an exit code", e)
	}
}

// Change.Ended is true once per end of a container's run, whatever becomes of the
// pod afterwards.
func TestChangeEnded(t *testing.T) {
	done, second := ended(0, "Completed"), ended(1, "Error")
	second.Terminated.FinishedAt = metav1.NewTime(time.Unix(1_700_000_300, 0))
	states := func(state corev1.ContainerState, more ...func(*corev1.Pod)) *corev1.Pod {
		return pod("1", append([]func(*corev1.Pod){uid("u"), phase(corev1.PodRunning), container(executorContainer, state)}, more...)...)
	}
	killed := func(p *corev1.Pod) {
		phase(corev1.PodFailed)(p)
		container("sidecar", ended(143, "Error"))(p)
	}
	for _, tell := range []struct {
		name string
		pod  func(*watchsource.Store, *corev1.Pod)
	}{
		{name: "updates", pod: (*watchsource.Store).UpdatePod},
		{name: "lists", pod: func(s *watchsource.Store, p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) }},
	} {
		t.Run(tell.name, func(t *testing.T) {
			store := watchsource.NewStore()
			each, late := newBatchReader(t, store, 0), newBatchReader(t, store, 0)
			each.next()
			late.next()
			var seen []bool
			read := func(r batchReader) {
				batch, _ := r.next()
				for _, c := range batch.Changes {
					seen = append(seen, c.Ended)
				}
			}
			for _, p := range []*corev1.Pod{
				states(running()), states(done), states(done, killed), states(done, killed, deleting), states(running()),
				states(second),
			} {
				tell.pod(store, p)
				read(each)
			}
			store.DeletePod(states(second, deleting))
			read(each)
			if want := []bool{false, true, false, false, false, true, false}; !slices.Equal(seen, want) {
				t.Errorf("read at once: ends %v, want %v", seen, want)
			}
			seen = nil
			read(late)
			if want := []bool{true, true, false}; !slices.Equal(seen, want) {
				t.Errorf("read late: ends %v, want %v", seen, want)
			}
		})
	}
}

// badPods are pods that cannot be understood, and the executors that they give.
var badPods = []struct {
	name    string
	pod     *corev1.Pod
	id      string
	state   watchsource.State
	problem string
}{
	{name: "no labels", pod: pod("a", func(p *corev1.Pod) { p.Labels = nil }), state: watchsource.Pending, problem: "no label spark-exec-id"},
	{name: "no phase", pod: pod("2", phase(""), status("Evicted", "")), id: "2", state: watchsource.Unknown, problem: `unknown phase ""`},
	{name: "placeholder", pod: pod("EXECID"), state: watchsource.Pending, problem: "label spark-exec-id holds the placeholder EXECID"},
	{name: "no number", pod: pod("x"), id: "x", state: watchsource.Pending, problem: `label spark-exec-id is not a number: "x"`},
	{name: "unknown phase", pod: pod("3", phase("Dreaming")), id: "3", state: watchsource.Unknown, problem: `unknown phase "Dreaming"`},
	{
		name: "two at once", pod: pod("y", phase("Dreaming")), id: "y", state: watchsource.Unknown,
		problem: `label spark-exec-id is not a number: "y"; unknown phase "Dreaming"`,
	},
	{
		name: "nothing at all", pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "exec-bare"}},
		state: watchsource.Pending, problem: "no label spark-exec-id",
	},
}

// G11: a pod that cannot be understood is tracked and reported by itself, and
// no other is disturbed.
func TestGuarantee11BadPods(t *testing.T) {
	log := &logLines{}
	store := watchsource.NewStore(watchsource.WithLogger(log.logger(0)))
	good := []*corev1.Pod{pod("100", phase(corev1.PodRunning)), pod("101", phase(corev1.PodSucceeded))}
	all := good
	for _, b := range badPods {
		all = append(all, b.pod)
	}
	store.ReplaceSnapshot(all)
	for _, b := range badPods {
		store.UpdatePod(b.pod) // again, and not logged again
	}

	snapshot := store.Snapshot()
	for _, b := range badPods {
		e, ok := snapshot.Get(b.pod.Name)
		if !ok || e.ID != b.id || e.State != b.state || e.Problem != b.problem {
			t.Errorf("%s: got %v, id %q, %v, problem %q; want id %q, %v, problem %q", b.name, ok, e.ID, e.State, e.Problem, b.id, b.state, b.problem)
		}
	}
	if got := snapshot.Len(); got != len(all) {
		t.Errorf("%d executors, want %d", got, len(all))
	}
	if e, _ := snapshot.ByID("100"); e.State != watchsource.Running || e.Problem != "" {
		t.Errorf("a good executor became %v, problem %q, want Running without a problem", e.State, e.Problem)
	}
	if lines := log.matching("Executor pod not fully understood"); len(lines) != len(badPods) {
		t.Errorf("%d log lines, want %d, one for each bad pod:\n%v", len(lines), len(badPods), lines)
	}
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

// mainStatus adds the executor container, its status, and the end of the run before.
func mainStatus(id string, restarts int32, state corev1.ContainerState, last ...corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		container(executorContainer, state)(p)
		status := &p.Status.ContainerStatuses[len(p.Status.ContainerStatuses)-1]
		status.ContainerID, status.RestartCount = id, restarts
		for _, end := range last {
			status.LastTerminationState = end
		}
	}
}

// endedIn is the end of a run with an ID, at a second.
func endedIn(id string, code int32, reason string, second int64) corev1.ContainerState {
	state := ended(code, reason)
	state.Terminated.ContainerID = id
	state.Terminated.FinishedAt = metav1.Unix(1_700_000_000+second, 0)
	return state
}

// A shownEnd is an end that a reader was shown.
type shownEnd struct {
	state    watchsource.State
	exitCode int32
}

// deliveries are the ways in which the states of a pod reach a store and its reader.
var deliveries = []struct {
	name    string
	options []watchsource.StoreOption
	trimmed bool
	late    bool // the reader reads once, after the last state
	leaves  bool // the pod is deleted in its last state
	merged  bool // newer states take the place of older ones, as for a slow store of a shared watch
	behind  bool // the store has received the first state before it became slow
	deliver func(*watchsource.Watcher, *corev1.Pod) error
}{
	{name: "updates", deliver: updateWith},
	{name: "lists", deliver: replaceWith},
	{name: "trimmed", trimmed: true, deliver: updateWith},
	{name: "without pods", options: []watchsource.StoreOption{watchsource.WithoutPods()}, deliver: updateWith},
	{name: "lists without pods", options: []watchsource.StoreOption{watchsource.WithoutPods()}, trimmed: true, deliver: replaceWith},
	{name: "late reader", late: true, deliver: updateWith},
	{name: "late reader of lists", late: true, deliver: replaceWith},
	{name: "deleted", leaves: true, deliver: updateWith},
	{name: "merged", merged: true, late: true, deliver: updateWith},
	{name: "merged behind the first", merged: true, behind: true, late: true, deliver: updateWith},
}

func updateWith(w *watchsource.Watcher, p *corev1.Pod) error { return w.Receive(modified(p)) }

func replaceWith(w *watchsource.Watcher, p *corev1.Pod) error {
	w.Replace([]*corev1.Pod{p}, p.ResourceVersion)
	return nil
}

func deleteWith(w *watchsource.Watcher, p *corev1.Pod) error {
	return w.Receive(watch.Event{Type: watch.Deleted, Object: p})
}

// Sequences of states that random lives rarely have, with their sources. In each way in which
// they may reach a reader, it is shown the same ends.
func TestEndsOfRuns(t *testing.T) {
	states := func(changes ...func(*corev1.Pod)) *corev1.Pod {
		return pod("1", append([]func(*corev1.Pod){uid("u"), phase(corev1.PodRunning)}, changes...)...)
	}
	const none = watchsource.UnknownExitCode
	all := []corev1.RestartPolicy{corev1.RestartPolicyNever, corev1.RestartPolicyOnFailure, corev1.RestartPolicyAlways}
	always := all[2:]
	lost := lostEnd()
	timeless := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	isFailed := phase(corev1.PodFailed)
	evicted := func(p *corev1.Pod) { isFailed(p); status("Evicted", "low on memory")(p) }
	expired := func(p *corev1.Pod) { isFailed(p); status("DeadlineExceeded", "")(p) }
	crashed, done := endedIn("a", 1, "Error", 1), endedIn("a", 0, "Completed", 1)
	backOff, creating := waiting("CrashLoopBackOff"), waiting("ContainerCreating")
	created := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
	failed := func(code int32) shownEnd { return shownEnd{watchsource.Failed, code} }
	succeeded := shownEnd{watchsource.Succeeded, 0}
	for _, test := range []struct {
		name     string
		policies []corev1.RestartPolicy
		pods     []*corev1.Pod
		ends     []shownEnd
		state    watchsource.State // in the end
		exitCode int32
		reason   string
		problem  string
	}{
		{name: "two runs without IDs and times", policies: always,
			pods: []*corev1.Pod{states(mainStatus("", 0, timeless)), states(mainStatus("", 1, timeless))},
			ends: []shownEnd{failed(1), failed(1)}, state: watchsource.Failed, exitCode: 1},
		{name: "waits to be restarted", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("a", 0, backOff, crashed))},
			ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: none, reason: "CrashLoopBackOff"},
		{name: "runs again by its policy", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, running(), crashed))},
			ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: none},
		{name: "was restarted unseen", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("b", 1, running(), crashed))},
			ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: none},
		{name: "was restarted unseen, without IDs", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 0, running())), states(mainStatus("", 1, running(), ended(1, "Error")))},
			ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: none},
		{name: "was restarted by its rule", policies: all,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running()), restartRule("In", "Restart", 42)),
				states(mainStatus("b", 1, running(), endedIn("a", 42, "Error", 1)), restartRule("In", "Restart", 42)),
			},
			state: watchsource.Running, exitCode: none},
		{name: "is said to run after its end", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("a", 0, running()))},
			ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Error",
			problem: "the executor has ended (Failed, exit code 1), and the pod is reported as Running"},
		{name: "is said to have ended otherwise", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(mainStatus("a", 0, crashed))},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 1, Error"},
		{name: "is said to have ended otherwise, without an ID", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 0, ended(0, "Completed"))), states(mainStatus("", 0, timeless))},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 1"},
		{name: "is said to have ended otherwise at the same time, without an ID", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 0, ended(0, "Completed"))), states(mainStatus("", 0, ended(1, "Error")))},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 1, Error"},
		{name: "evicted, which shows later", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("a", 0, crashed), evicted)},
			ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Evicted"},
		{name: "two final phases without a container status", policies: all,
			pods: []*corev1.Pod{states(isFailed), states(phase(corev1.PodSucceeded))},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: none,
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Succeeded"},
		{name: "loses its status, in two phases", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(isFailed), states()},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Running"},
		{name: "failed with its pod, then by itself", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("a", 0, running()), evicted), states(mainStatus("a", 0, crashed), evicted)},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: 1, reason: "Evicted"},

		// A container that the kubelet has lost (kubernetes#122160, #122932).
		{name: "lost and evicted in one step", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("", 1, lost, lost), evicted)},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "lost and evicted at first sight", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 1, lost, lost), evicted)},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "lost and evicted, without an ID", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 0, running())), states(mainStatus("", 1, lost, lost), evicted)},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "lost, then evicted", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating, lost)), states(mainStatus("", 1, lost, lost), evicted)},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "lost, then evicted, without an ID", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 0, running())), states(mainStatus("", 1, creating, lost)), states(mainStatus("", 1, lost, lost), evicted)},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "evicted, then lost", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("a", 0, running()), evicted), states(mainStatus("", 1, lost, lost), evicted)},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "evicted, then lost, without an ID", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 0, running())), states(mainStatus("", 0, running()), evicted), states(mainStatus("", 1, lost, lost), evicted)},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "lost while it is deleted", policies: all,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running()), deleting), states(mainStatus("", 0, creating, lost), deleting), states(mainStatus("", 0, lost, lost), deleting, isFailed),
			},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "ContainerStatusUnknown"},
		{name: "lost with its ID, as after a reboot", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("a", 1, lost), isFailed)},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "ContainerStatusUnknown"},
		{name: "lost, and started again", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating, lost)), states(mainStatus("b", 1, running(), lost))},
			ends: []shownEnd{failed(137)}, state: watchsource.Running, exitCode: none},
		{name: "lost and started again in one step", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("b", 1, running(), lost)), states(mainStatus("b", 1, running(), lost))},
			ends: []shownEnd{failed(137)}, state: watchsource.Running, exitCode: none},
		{name: "lost and started again with the count 0", policies: all,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating, lost)), states(mainStatus("b", 0, endedIn("b", 3, "Error", 9)), isFailed),
			},
			ends: []shownEnd{failed(137), failed(3)}, state: watchsource.Failed, exitCode: 3, reason: "Error"},
		{name: "ended unseen and removed before its pod fails", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("", 1, creating, endedIn("b", 2, "Error", 9)), isFailed)},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "Error"},
		{name: "lost after its end was shown", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("", 0, lost), isFailed)},
			ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Error"},
		{name: "lost twice", policies: all,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating, lost)), states(mainStatus("b", 1, running(), lost)), states(mainStatus("", 2, creating, lost)),
			},
			ends: []shownEnd{failed(137), failed(137)}, state: watchsource.Running, exitCode: none, reason: "ContainerCreating"},
		{name: "lost and found", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating, lost)), states(mainStatus("a", 1, running(), lost)), states(mainStatus("a", 1, done), phase(corev1.PodSucceeded))},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137,
			problem: "the executor has ended (Failed, exit code 137), and the pod is reported as Succeeded, exit code 0, Completed"},
		{name: "lost before a run that ends, and then with its pod", policies: always,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running())), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), lost)),
				states(mainStatus("b", 1, backOff, endedIn("b", 2, "Error", 9)), expired),
			},
			ends: []shownEnd{failed(137), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "DeadlineExceeded"},
		{name: "ended before a run that ends, and then with its pod", policies: always,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running())), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)),
				states(mainStatus("b", 1, backOff, endedIn("b", 2, "Error", 9)), expired),
			},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "DeadlineExceeded"},
		{name: "lost after a run whose end is known", policies: all,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, running(), crashed)),
				states(mainStatus("", 1, creating, crashed)), states(mainStatus("", 1, lost, crashed), evicted),
			},
			ends: []shownEnd{failed(1), failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "lost after a run whose end is not known", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("", 1, lost, crashed), evicted)},
			ends: []shownEnd{failed(1), failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
		{name: "lost while it waits, and then deleted", policies: always,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, done)), states(mainStatus("b", 1, running(), done)),
				states(mainStatus("", 1, creating, done), deleting), states(mainStatus("", 1, lost, done), deleting, isFailed),
			},
			ends: []shownEnd{succeeded, failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "ContainerStatusUnknown"},
		{name: "terminated while it waits to be restarted", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("a", 0, backOff, crashed)), states(mainStatus("a", 0, lost, crashed), evicted)},
			ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Evicted"},

		// A container that was created, and not started.
		{name: "created, then started", policies: always,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running())), states(mainStatus("b", 1, created, crashed)), states(mainStatus("b", 1, running(), crashed)),
				states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)),
			},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "Error"},
		{name: "created, and deleted with its pod", policies: always,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, done)), states(mainStatus("b", 1, created, done)), states(mainStatus("b", 1, created, done), deleting),
				states(mainStatus("b", 1, lost, done), deleting, isFailed),
			},
			ends: []shownEnd{succeeded, failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "ContainerStatusUnknown"},
		{name: "created and deleted at first sight", policies: always,
			pods: []*corev1.Pod{states(mainStatus("b", 1, created, done), deleting), states(mainStatus("b", 1, lost, done), deleting, isFailed)},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 137, ContainerStatusUnknown"},
		{name: "created as its pod is deleted", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(mainStatus("b", 1, created, done), deleting)},
			ends: []shownEnd{succeeded}, state: watchsource.Running, exitCode: none},
		{name: "created, and evicted with its pod", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(mainStatus("b", 1, created, done)), states(mainStatus("b", 1, created, done), evicted)},
			ends: []shownEnd{succeeded, failed(none)}, state: watchsource.Failed, exitCode: none, reason: "Evicted"},
		{name: "created and evicted in one step", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("b", 1, created, done), evicted), states(mainStatus("b", 1, lost, done), evicted)},
			ends: []shownEnd{succeeded, failed(none)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},

		// A server that was restored to an earlier run.
		{name: "back to an earlier run, and again", policies: always,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)), states(mainStatus("a", 0, running())),
				states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)),
			},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "Error"},
		{name: "back to the end of an earlier run, and again", policies: always,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)), states(mainStatus("a", 0, crashed)),
				states(mainStatus("a", 0, backOff, crashed)), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)),
			},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "Error"},

		// A node that has lost its records (kubernetes#12485).
		{name: "the restart count goes back", policies: all,
			pods: []*corev1.Pod{
				states(), states(mainStatus("b", 5, running(), crashed)), states(mainStatus("c", 0, running())), states(mainStatus("d", 1, running(), endedIn("c", 2, "Error", 9))),
			},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Running, exitCode: none},
		{name: "the restart count goes back by one", policies: all,
			pods: []*corev1.Pod{
				states(), states(mainStatus("b", 6, running(), crashed)), states(mainStatus("c", 5, running())), states(mainStatus("d", 6, running(), endedIn("c", 2, "Error", 9))),
			},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Running, exitCode: none},
		{name: "the restart count goes back, without IDs", policies: all,
			pods: []*corev1.Pod{
				states(), states(mainStatus("", 5, running(), ended(1, "Error"))), states(mainStatus("", 0, running())), states(mainStatus("", 1, running(), endedIn("", 2, "Error", 999))),
			},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Running, exitCode: none},
		{name: "the restart count goes back, without IDs and times", policies: all,
			pods: []*corev1.Pod{
				states(), states(mainStatus("", 5, running(), timeless)), states(mainStatus("", 0, running())), states(mainStatus("", 1, running(), timeless)),
			},
			ends: []shownEnd{failed(1), failed(1)}, state: watchsource.Running, exitCode: none},
		{name: "the restart count goes back beside an end, without IDs", policies: all,
			pods: []*corev1.Pod{
				states(), states(mainStatus("", 5, running(), ended(1, "Error"))), states(mainStatus("", 1, running(), endedIn("", 2, "Error", 999))),
			},
			ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Running, exitCode: none},
		{name: "runs after its end, without an ID", policies: always,
			pods: []*corev1.Pod{states(mainStatus("", 0, ended(1, "Error"))), states(mainStatus("", 0, running()))},
			ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: none},
		{name: "the clock of the node goes back", policies: all,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, endedIn("a", 1, "Error", 500))), states(mainStatus("b", 1, running(), endedIn("a", 1, "Error", 500))),
				states(mainStatus("c", 2, running(), endedIn("b", 2, "Error", 9))), states(mainStatus("c", 2, endedIn("c", 3, "Error", 5), endedIn("b", 2, "Error", 9)), isFailed),
			},
			ends: []shownEnd{failed(1), failed(2), failed(3)}, state: watchsource.Failed, exitCode: 3, reason: "Error"},
		{name: "two runs that end in one second", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, endedIn("b", 1, "Error", 1), crashed))},
			ends: []shownEnd{failed(1), failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Error"},
		{name: "runs again with the count 0, then fails", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("b", 0, running())), states(mainStatus("b", 0, endedIn("b", 1, "Error", 9)), isFailed)},
			ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Error"},

		// A verdict on the pod (kubernetes#115688, #98718).
		{name: "exit code 0 under a verdict", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("a", 0, done), expired), states(mainStatus("a", 0, done), expired, deleting)},
			ends: []shownEnd{failed(0)}, state: watchsource.Failed, reason: "DeadlineExceeded"},
		{name: "exit code 0 under a verdict, without an ID", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 0, ended(0, "Completed")), expired), states(mainStatus("", 0, ended(0, "Completed")), expired, deleting)},
			ends: []shownEnd{failed(0)}, state: watchsource.Failed, reason: "DeadlineExceeded"},
		{name: "a verdict after an exit code 0 that was seen", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(mainStatus("a", 0, done), expired), states(mainStatus("a", 0, done), expired, deleting)},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 0, DeadlineExceeded"},
		{name: "a verdict that is taken back", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, done), expired), states(mainStatus("a", 0, done), phase(corev1.PodSucceeded))},
			ends: []shownEnd{failed(0)}, state: watchsource.Failed, reason: "DeadlineExceeded",
			problem: "the executor has ended (Failed, exit code 0), and the pod is reported as Succeeded, exit code 0, Completed"},
		{name: "evicted while it waits to run again after an exit code 0", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(mainStatus("a", 0, backOff, done)), states(mainStatus("a", 0, backOff, done), evicted)},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 0, Evicted"},
		{name: "evicted as it waits to run again, which is how it was first seen", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, backOff, done)), states(mainStatus("a", 0, backOff, done), evicted)},
			ends: []shownEnd{failed(0)}, state: watchsource.Failed, reason: "Evicted"},
		{name: "a verdict, then exit code 0", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("a", 0, running()), expired), states(mainStatus("a", 0, done), expired)},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: none, reason: "DeadlineExceeded",
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Failed, exit code 0, DeadlineExceeded"},
		{name: "a verdict, then exit code 0, without an ID", policies: all,
			pods: []*corev1.Pod{states(mainStatus("", 0, running())), states(mainStatus("", 0, running()), expired), states(mainStatus("", 0, ended(0, "Completed")), expired)},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: none, reason: "DeadlineExceeded",
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Failed, exit code 0, DeadlineExceeded"},
		{name: "a verdict, then exit code 0 without it", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running()), expired), states(mainStatus("a", 0, done), phase(corev1.PodSucceeded))},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: none, reason: "DeadlineExceeded",
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Succeeded, exit code 0, Completed"},
		{name: "a verdict, then it runs on", policies: all,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running()), expired), states(mainStatus("a", 0, running()))},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: none, reason: "DeadlineExceeded",
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Running"},
		{name: "a verdict, then another run", policies: always,
			pods: []*corev1.Pod{states(mainStatus("a", 0, running()), expired), states(mainStatus("b", 1, running())), states(mainStatus("b", 1, endedIn("b", 0, "Completed", 9)), phase(corev1.PodSucceeded))},
			ends: []shownEnd{failed(none), succeeded}, state: watchsource.Succeeded, reason: "Completed"},

		// Another container's failure.
		{name: "a sidecar fails, then the executor succeeds", policies: all[:1],
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running()), container("side", running())), states(mainStatus("a", 0, running()), container("side", ended(3, "Error"))),
				states(mainStatus("a", 0, done), container("side", ended(3, "Error")), isFailed),
			},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: none, reason: "Error",
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Succeeded, exit code 0, Completed"},
		{name: "a sidecar fails, then the executor fails", policies: all[:1],
			pods: []*corev1.Pod{states(mainStatus("a", 0, running()), container("side", ended(3, "Error"))), states(mainStatus("a", 0, crashed), container("side", ended(3, "Error")), isFailed)},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: 1, reason: "Error"},
		{name: "a sidecar fails, then the pod is deleted", policies: all[:1],
			pods: []*corev1.Pod{states(mainStatus("a", 0, running()), container("side", ended(3, "Error"))), states(mainStatus("a", 0, running()), container("side", ended(3, "Error")), deleting)},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: none, reason: "Error",
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Running"},
		{name: "an init container fails, then the pod is deleted", policies: all[:1],
			pods: []*corev1.Pod{
				states(phase(corev1.PodPending), initContainer("fetch", "", ended(4, "Error")), mainStatus("", 0, waiting("PodInitializing"))),
				states(phase(corev1.PodPending), initContainer("fetch", "", ended(4, "Error")), mainStatus("", 0, waiting("PodInitializing")), deleting),
			},
			ends: []shownEnd{failed(none)}, state: watchsource.Failed, exitCode: none, reason: "Error",
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Pending, Error"},
		{name: "a sidecar dies in a pod that is deleted", policies: all,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running()), container("side", running()), deleting), states(mainStatus("a", 0, running()), container("side", ended(143, "Error")), deleting),
				states(mainStatus("a", 0, done), container("side", ended(143, "Error")), deleting, isFailed),
			},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed"},
		{name: "a native sidecar is killed after the executor", policies: all,
			pods: []*corev1.Pod{
				states(initContainer("proxy", "Always", running()), mainStatus("a", 0, done)),
				states(initContainer("proxy", "Always", ended(137, "Error")), mainStatus("a", 0, done), isFailed),
			},
			ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed"},
		{name: "a preempted job is marked, ends and is deleted", policies: all,
			pods: []*corev1.Pod{
				states(mainStatus("a", 0, running())),
				states(mainStatus("a", 0, running()), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler")),
				states(mainStatus("a", 0, endedIn("a", 137, "Error", 1)), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler"), isFailed, deleting),
			},
			ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "PreemptionByScheduler"},
	} {
		for _, policy := range test.policies {
			for _, way := range deliveries {
				if way.leaves && len(test.pods) == 1 {
					continue // the store ignores the deletion of a pod that it does not have
				}
				store := watchsource.NewStore(way.options...)
				var options []watchsource.Option
				if way.trimmed {
					options = append(options, watchsource.WithTrimmedPods())
				}
				watcher := watchsource.NewWatcher(watchsource.Tee(store, &recordingStore{}), selectorOf(t, ""), options...)
				queue := waitingPods{}
				reader := newBatchReader(t, store, 0)
				reader.next()
				var ends []shownEnd
				read := func() {
					batch, _ := reader.next()
					for _, c := range batch.Changes {
						if c.Ended {
							ends = append(ends, shownEnd{c.After.State, c.After.ExitCode})
						}
					}
				}
				version, last := 0, len(test.pods)-1
				deliver := func(p *corev1.Pod, to func(*watchsource.Watcher, *corev1.Pod) error) {
					version++
					p = p.DeepCopy()
					p.Spec.RestartPolicy, p.ResourceVersion = policy, fmt.Sprint(version)
					must(t, to(watcher, p))
				}
				for i, p := range test.pods {
					switch {
					case way.merged && (i > 0 || !way.behind):
						queue.put(p)
					case way.leaves && i == last:
						deliver(p, deleteWith)
					default:
						deliver(p, way.deliver)
					}
					if i < last && !way.late {
						read()
					}
				}
				for _, w := range queue {
					deliver(w.pod, way.deliver)
				}
				read()
				if way.late { // it may be shown an end in a later state, which says more
					for i := range min(len(ends), len(test.ends)) {
						ends[i].exitCode = test.ends[i].exitCode
					}
				}
				if way.leaves {
					if n := len(ends); n != len(test.ends) {
						t.Errorf("%s, policy %s, %s: shown the ends %v, want %v", test.name, policy, way.name, ends, test.ends)
					}
					continue
				}
				e, _ := store.Snapshot().Get("exec-1")
				problem := way.merged || e.Problem == test.problem // the store may not have seen what it contradicts
				if !slices.Equal(ends, test.ends) || e.State != test.state || e.ExitCode != test.exitCode || e.Reason != test.reason || !problem {
					t.Errorf("%s, policy %s, %s: shown the ends %v, then %v, exit code %d, reason %q, problem %q;\nwant %v, %v, %d, %q, %q", test.name, policy, way.name,
						ends, e.State, e.ExitCode, e.Reason, e.Problem, test.ends, test.state, test.exitCode, test.reason, test.problem)
				}

				// A deletion that shows the last state again adds no end.
				deliver(test.pods[last], deleteWith)
				known := len(ends)
				if read(); len(ends) != known {
					t.Errorf("%s, policy %s, %s: shown %v as the pod was deleted, want no end", test.name, policy, way.name, ends[known:])
				}
			}
		}
	}
}

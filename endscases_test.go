// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// The cases of TestEndsOfRuns.

// An endsCase is the states of a pod in turn, and the ends that a reader is shown.
type endsCase struct {
	name     string
	policies []corev1.RestartPolicy
	pods     []*corev1.Pod
	ends     []shownEnd
	// state, exitCode, reason and problem are those of the executor after the last pod.
	state    watchsource.State
	exitCode int32
	reason   string
	problem  string
}

// states is a pod of the cases in the phase Running.
func states(changes ...func(*corev1.Pod)) *corev1.Pod {
	return pod("1", append([]func(*corev1.Pod){uid("u"), phase(corev1.PodRunning)}, changes...)...)
}

func failed(code int32) shownEnd { return shownEnd{watchsource.Failed, code} }

func evicted(p *corev1.Pod) { isFailed(p); status("Evicted", "low on memory")(p) }

func pastDeadline(p *corev1.Pod) { isFailed(p); status("DeadlineExceeded", "")(p) }

// What the cases have in common: the restart policies, and the states of a container.
var (
	anyPolicy    = []corev1.RestartPolicy{corev1.RestartPolicyNever, corev1.RestartPolicyOnFailure, corev1.RestartPolicyAlways}
	neverPolicy  = anyPolicy[:1]
	alwaysPolicy = anyPolicy[2:]

	succeeded = shownEnd{watchsource.Succeeded, 0}
	isFailed  = phase(corev1.PodFailed)
	lost      = lostEnd()
	timeless  = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	crashed   = endedIn("a", 1, "Error", 1)
	done      = endedIn("a", 0, "Completed", 1)
	backOff   = waiting("CrashLoopBackOff")
	creating  = waiting("ContainerCreating")
	created   = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
)

// Containers that are started again, and statuses that contradict an end.
var restartedRuns = []endsCase{
	{name: "two runs without IDs and times", policies: alwaysPolicy,
		pods: []*corev1.Pod{states(mainStatus("", 0, timeless)), states(mainStatus("", 1, timeless))},
		ends: []shownEnd{failed(1), failed(1)}, state: watchsource.Failed, exitCode: 1},
	{name: "waits to be restarted", policies: alwaysPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("a", 0, backOff, crashed))},
		ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: unknownCode, reason: "CrashLoopBackOff"},
	{name: "runs again by its policy", policies: alwaysPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, running(), crashed))},
		ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "was restarted unseen", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("b", 1, running(), crashed))},
		ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "was restarted unseen, without IDs", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("", 0, running())), states(mainStatus("", 1, running(), ended(1, "Error")))},
		ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "was restarted by its rule", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running()), restartRule("In", "Restart", 42)),
			states(mainStatus("b", 1, running(), endedIn("a", 42, "Error", 1)), restartRule("In", "Restart", 42)),
		},
		state: watchsource.Running, exitCode: unknownCode},
	{name: "is said to run after its end", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("a", 0, running()))},
		ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Error",
		problem: "the executor has ended (Failed, exit code 1), and the pod is reported as Running"},
	{name: "is said to have ended otherwise", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(mainStatus("a", 0, crashed))},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
		problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 1, Error"},
	{name: "is said to have ended otherwise, without an ID", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("", 0, ended(0, "Completed"))), states(mainStatus("", 0, timeless))},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
		problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 1"},
	{name: "is said to have ended otherwise at the same time, without an ID", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("", 0, ended(0, "Completed"))), states(mainStatus("", 0, ended(1, "Error")))},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
		problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 1, Error"},
	{name: "evicted, which shows later", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("a", 0, crashed), evicted)},
		ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Evicted"},
	{name: "two final phases without a container status", policies: anyPolicy,
		pods: []*corev1.Pod{states(isFailed), states(phase(corev1.PodSucceeded))},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode,
		problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Succeeded"},
	{name: "loses its status, in two phases", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(isFailed), states()},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
		problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Running"},
	{name: "failed with its pod, then by itself", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("a", 0, running()), evicted),
			states(mainStatus("a", 0, crashed), evicted),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: 1, reason: "Evicted"},
}

// A container that the kubelet has lost (kubernetes#122160, #122932).
var lostRuns = []endsCase{
	{name: "lost and evicted in one step", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("", 1, lost, lost), evicted)},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "lost and evicted at first sight", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("", 1, lost, lost), evicted)},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "lost and evicted, without an ID", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("", 0, running())), states(mainStatus("", 1, lost, lost), evicted)},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "lost, then evicted", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating, lost)),
			states(mainStatus("", 1, lost, lost), evicted),
		},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "lost, then evicted, without an ID", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("", 0, running())), states(mainStatus("", 1, creating, lost)),
			states(mainStatus("", 1, lost, lost), evicted),
		},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "evicted, then lost", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("a", 0, running()), evicted),
			states(mainStatus("", 1, lost, lost), evicted),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "evicted, then lost, without an ID", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("", 0, running())), states(mainStatus("", 0, running()), evicted),
			states(mainStatus("", 1, lost, lost), evicted),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "lost while it is deleted", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running()), deleting), states(mainStatus("", 0, creating, lost),
				deleting), states(mainStatus("", 0, lost, lost), deleting, isFailed),
		},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "ContainerStatusUnknown"},
	{name: "lost with its ID, as after a reboot", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("a", 1, lost), isFailed)},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "ContainerStatusUnknown"},
	{name: "lost, and started again", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating, lost)),
			states(mainStatus("b", 1, running(), lost)),
		},
		ends: []shownEnd{failed(137)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "lost and started again in one step", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("b", 1, running(), lost)),
			states(mainStatus("b", 1, running(), lost)),
		},
		ends: []shownEnd{failed(137)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "lost and started again with the count 0", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating,
				lost)), states(mainStatus("b", 0, endedIn("b", 3, "Error", 9)), isFailed),
		},
		ends: []shownEnd{failed(137), failed(3)}, state: watchsource.Failed, exitCode: 3, reason: "Error"},
	{name: "ended unseen and removed before its pod fails", policies: alwaysPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("", 1, creating, endedIn("b", 2, "Error", 9)), isFailed)},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "Error"},
	{name: "lost after its end was shown", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("", 0, lost), isFailed)},
		ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Error"},
	{name: "lost twice", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating,
				lost)), states(mainStatus("b", 1, running(), lost)), states(mainStatus("", 2, creating, lost)),
		},
		ends: []shownEnd{failed(137), failed(137)}, state: watchsource.Running, exitCode: unknownCode, reason: "ContainerCreating"},
	{name: "lost and found", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("", 1, creating, lost)),
			states(mainStatus("a", 1, running(), lost)), states(mainStatus("a", 1, done), phase(corev1.PodSucceeded)),
		},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137,
		problem: "the executor has ended (Failed, exit code 137), and the pod is reported as Succeeded, exit code 0, Completed"},
	{name: "lost before a run that ends, and then with its pod", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), lost)),
			states(mainStatus("b", 1, backOff, endedIn("b", 2, "Error", 9)), pastDeadline),
		},
		ends: []shownEnd{failed(137), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "DeadlineExceeded"},
	{name: "ended before a run that ends, and then with its pod", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)),
			states(mainStatus("b", 1, backOff, endedIn("b", 2, "Error", 9)), pastDeadline),
		},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "DeadlineExceeded"},
	{name: "lost after a run whose end is known", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, running(), crashed)),
			states(mainStatus("", 1, creating, crashed)), states(mainStatus("", 1, lost, crashed), evicted),
		},
		ends: []shownEnd{failed(1), failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "lost after a run whose end is not known", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, running())), states(mainStatus("", 1, lost, crashed), evicted)},
		ends: []shownEnd{failed(1), failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	{name: "lost while it waits, and then deleted", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, done)), states(mainStatus("b", 1, running(), done)),
			states(mainStatus("", 1, creating, done), deleting), states(mainStatus("", 1, lost, done), deleting, isFailed),
		},
		ends: []shownEnd{succeeded, failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "ContainerStatusUnknown"},
	{name: "terminated while it waits to be restarted", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, crashed)), states(mainStatus("a", 0, backOff, crashed)),
			states(mainStatus("a", 0, lost, crashed), evicted),
		},
		ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Evicted"},
}

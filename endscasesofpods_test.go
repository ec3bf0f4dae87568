// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// More cases of TestEndsOfRuns.

// A container that was created, and not started.
var createdRuns = []endsCase{
	{name: "created, then started", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("b", 1, created, crashed)), states(mainStatus("b", 1, running(), crashed)),
			states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)),
		},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "Error"},
	{name: "created, and deleted with its pod", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, done)), states(mainStatus("b", 1, created, done)), states(mainStatus("b", 1, created, done), deleting),
			states(mainStatus("b", 1, lost, done), deleting, isFailed),
		},
		ends: []shownEnd{succeeded, failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "ContainerStatusUnknown"},
	{name: "created and deleted at first sight", policies: alwaysPolicy,
		pods: []*corev1.Pod{states(mainStatus("b", 1, created, done), deleting), states(mainStatus("b", 1, lost, done), deleting, isFailed)},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
		problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 137, ContainerStatusUnknown"},
	{name: "created as its pod is deleted", policies: alwaysPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, done)), states(mainStatus("b", 1, created, done), deleting)},
		ends: []shownEnd{succeeded}, state: watchsource.Running, exitCode: unknownCode},
	{name: "created, and evicted with its pod", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, done)), states(mainStatus("b", 1, created, done)),
			states(mainStatus("b", 1, created, done), evicted),
		},
		ends: []shownEnd{succeeded, failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode, reason: "Evicted"},
	{name: "created and evicted in one step", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("b", 1, created, done), evicted),
			states(mainStatus("b", 1, lost, done), evicted),
		},
		ends: []shownEnd{succeeded, failed(unknownCode)}, state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
}

// A server that was restored to an earlier run.
var earlierRuns = []endsCase{
	{name: "back to an earlier run, and again", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9),
				crashed)), states(mainStatus("a", 0, running())),
			states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)),
		},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "Error"},
	{name: "back to the end of an earlier run, and again", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9),
				crashed)), states(mainStatus("a", 0, crashed)),
			states(mainStatus("a", 0, backOff, crashed)), states(mainStatus("b", 1, endedIn("b", 2, "Error", 9), crashed)),
		},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Failed, exitCode: 2, reason: "Error"},
}

// A node that has lost its records (kubernetes#12485).
var forgetfulNodes = []endsCase{
	{name: "the restart count goes back", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(), states(mainStatus("b", 5, running(), crashed)), states(mainStatus("c", 0,
				running())), states(mainStatus("d", 1, running(), endedIn("c", 2, "Error", 9))),
		},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "the restart count goes back by one", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(), states(mainStatus("b", 6, running(), crashed)), states(mainStatus("c", 5,
				running())), states(mainStatus("d", 6, running(), endedIn("c", 2, "Error", 9))),
		},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "the restart count goes back, without IDs", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(), states(mainStatus("", 5, running(), ended(1, "Error"))), states(mainStatus("", 0,
				running())), states(mainStatus("", 1, running(), endedIn("", 2, "Error", 999))),
		},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "the restart count goes back, without IDs and times", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(), states(mainStatus("", 5, running(), timeless)), states(mainStatus("", 0,
				running())), states(mainStatus("", 1, running(), timeless)),
		},
		ends: []shownEnd{failed(1), failed(1)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "the restart count goes back beside an end, without IDs", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(), states(mainStatus("", 5, running(), ended(1, "Error"))), states(mainStatus("", 1, running(), endedIn("", 2, "Error", 999))),
		},
		ends: []shownEnd{failed(1), failed(2)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "runs after its end, without an ID", policies: alwaysPolicy,
		pods: []*corev1.Pod{states(mainStatus("", 0, ended(1, "Error"))), states(mainStatus("", 0, running()))},
		ends: []shownEnd{failed(1)}, state: watchsource.Running, exitCode: unknownCode},
	{name: "the clock of the node goes back", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, endedIn("a", 1, "Error", 500))), states(mainStatus("b", 1, running(), endedIn("a", 1, "Error", 500))),
			states(mainStatus("c", 2, running(), endedIn("b", 2, "Error",
				9))), states(mainStatus("c", 2, endedIn("c", 3, "Error", 5), endedIn("b", 2, "Error", 9)), isFailed),
		},
		ends: []shownEnd{failed(1), failed(2), failed(3)}, state: watchsource.Failed, exitCode: 3, reason: "Error"},
	{name: "two runs that end in one second", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, crashed)), states(mainStatus("b", 1, endedIn("b", 1, "Error", 1), crashed))},
		ends: []shownEnd{failed(1), failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Error"},
	{name: "runs again with the count 0, then fails", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("b", 0, running())),
			states(mainStatus("b", 0, endedIn("b", 1, "Error", 9)), isFailed),
		},
		ends: []shownEnd{failed(1)}, state: watchsource.Failed, exitCode: 1, reason: "Error"},
}

// A verdict on the pod (kubernetes#115688, #98718).
var verdicts = []endsCase{
	{name: "exit code 0 under a verdict", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("a", 0, done), pastDeadline),
			states(mainStatus("a", 0, done), pastDeadline, deleting),
		},
		ends: []shownEnd{failed(0)}, state: watchsource.Failed, reason: "DeadlineExceeded"},
	{name: "exit code 0 under a verdict, without an ID", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("", 0, ended(0, "Completed")), pastDeadline),
			states(mainStatus("", 0, ended(0, "Completed")), pastDeadline, deleting),
		},
		ends: []shownEnd{failed(0)}, state: watchsource.Failed, reason: "DeadlineExceeded"},
	{name: "a verdict after an exit code 0 that was seen", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, done)), states(mainStatus("a", 0, done), pastDeadline),
			states(mainStatus("a", 0, done), pastDeadline, deleting),
		},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
		problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 0, DeadlineExceeded"},
	{name: "a verdict that is taken back", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, done), pastDeadline), states(mainStatus("a", 0, done), phase(corev1.PodSucceeded))},
		ends: []shownEnd{failed(0)}, state: watchsource.Failed, reason: "DeadlineExceeded",
		problem: "the executor has ended (Failed, exit code 0), and the pod is reported as Succeeded, exit code 0, Completed"},
	{name: "evicted while it waits to run again after an exit code 0", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, done)), states(mainStatus("a", 0, backOff, done)),
			states(mainStatus("a", 0, backOff, done), evicted),
		},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed",
		problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 0, Evicted"},
	{name: "evicted as it waits to run again, which is how it was first seen", policies: alwaysPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, backOff, done)), states(mainStatus("a", 0, backOff, done), evicted)},
		ends: []shownEnd{failed(0)}, state: watchsource.Failed, reason: "Evicted"},
	{name: "a verdict, then exit code 0", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())), states(mainStatus("a", 0, running()), pastDeadline),
			states(mainStatus("a", 0, done), pastDeadline),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode, reason: "DeadlineExceeded",
		problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Failed, exit code 0, DeadlineExceeded"},
	{name: "a verdict, then exit code 0, without an ID", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("", 0, running())), states(mainStatus("", 0, running()), pastDeadline),
			states(mainStatus("", 0, ended(0, "Completed")), pastDeadline),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode, reason: "DeadlineExceeded",
		problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Failed, exit code 0, DeadlineExceeded"},
	{name: "a verdict, then exit code 0 without it", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, running()), pastDeadline), states(mainStatus("a", 0, done), phase(corev1.PodSucceeded))},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode, reason: "DeadlineExceeded",
		problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Succeeded, exit code 0, Completed"},
	{name: "a verdict, then it runs on", policies: anyPolicy,
		pods: []*corev1.Pod{states(mainStatus("a", 0, running()), pastDeadline), states(mainStatus("a", 0, running()))},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode, reason: "DeadlineExceeded",
		problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Running"},
	{name: "a verdict, then another run", policies: alwaysPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running()), pastDeadline), states(mainStatus("b", 1, running())),
			states(mainStatus("b", 1, endedIn("b", 0, "Completed", 9)), phase(corev1.PodSucceeded)),
		},
		ends: []shownEnd{failed(unknownCode), succeeded}, state: watchsource.Succeeded, reason: "Completed"},
}

// Another container's failure.
var otherContainers = []endsCase{
	{name: "a sidecar fails, then the executor succeeds", policies: neverPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running()), container("side", running())), states(mainStatus("a", 0, running()),
				container("side", ended(3, "Error"))),
			states(mainStatus("a", 0, done), container("side", ended(3, "Error")), isFailed),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode, reason: "Error",
		problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Succeeded, exit code 0, Completed"},
	{name: "a sidecar fails, then the executor fails", policies: neverPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running()), container("side", ended(3, "Error"))),
			states(mainStatus("a", 0, crashed), container("side", ended(3, "Error")), isFailed),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: 1, reason: "Error"},
	{name: "a sidecar fails, then the pod is deleted", policies: neverPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running()), container("side", ended(3, "Error"))),
			states(mainStatus("a", 0, running()), container("side", ended(3, "Error")), deleting),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode, reason: "Error",
		problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Running"},
	{name: "an init container fails, then the pod is deleted", policies: neverPolicy,
		pods: []*corev1.Pod{
			states(phase(corev1.PodPending), initContainer("fetch", "", ended(4, "Error")), mainStatus("", 0, waiting("PodInitializing"))),
			states(phase(corev1.PodPending), initContainer("fetch", "", ended(4, "Error")), mainStatus("", 0, waiting("PodInitializing")), deleting),
		},
		ends: []shownEnd{failed(unknownCode)}, state: watchsource.Failed, exitCode: unknownCode, reason: "Error",
		problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Pending, Error"},
	{name: "a sidecar dies in a pod that is deleted", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running()), container("side", running()),
				deleting), states(mainStatus("a", 0, running()), container("side", ended(143, "Error")), deleting),
			states(mainStatus("a", 0, done), container("side", ended(143, "Error")), deleting, isFailed),
		},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed"},
	{name: "a native sidecar is killed after the executor", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(initContainer("proxy", "Always", running()), mainStatus("a", 0, done)),
			states(initContainer("proxy", "Always", ended(137, "Error")), mainStatus("a", 0, done), isFailed),
		},
		ends: []shownEnd{succeeded}, state: watchsource.Succeeded, reason: "Completed"},
	{name: "a preempted job is marked, ends and is deleted", policies: anyPolicy,
		pods: []*corev1.Pod{
			states(mainStatus("a", 0, running())),
			states(mainStatus("a", 0, running()), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler")),
			states(mainStatus("a", 0, endedIn("a", 137, "Error", 1)),
				condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler"), isFailed, deleting),
		},
		ends: []shownEnd{failed(137)}, state: watchsource.Failed, exitCode: 137, reason: "PreemptionByScheduler"},
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// A stateWant is the state that a pod gives an executor.
type stateWant struct {
	state       watchsource.State
	terminating bool
	exitCode    int32
	reason      string
}

const unknownCode = watchsource.UnknownExitCode

var containerOnly = []watchsource.StoreOption{watchsource.WithExecutorContainerOnly()}

// executorStates are the cases of TestExecutorState.
var executorStates = []struct {
	name    string
	options []watchsource.StoreOption
	pod     *corev1.Pod
	want    stateWant
}{
	{name: "pending", pod: pod("1"), want: stateWant{state: watchsource.Pending, exitCode: unknownCode}},
	{name: "phase in lower case", pod: pod("1", phase("running")), want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{
		name: "running", pod: pod("1", phase(corev1.PodRunning), container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode},
	},
	{
		name: "succeeded", pod: pod("1", phase(corev1.PodSucceeded), container(executorContainer, ended(0, "Completed"))),
		want: stateWant{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"},
	},
	{
		name: "failed", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, ended(1, "Error"))),
		want: stateWant{state: watchsource.Failed, exitCode: 1, reason: "Error"},
	},
	{
		name: "unknown to Kubernetes too", pod: pod("1", phase(corev1.PodUnknown)),
		want: stateWant{state: watchsource.Unknown, exitCode: unknownCode},
	},
	{
		name: "no phase Kubernetes defines", pod: pod("1", phase("Dreaming")),
		want: stateWant{state: watchsource.Unknown, exitCode: unknownCode},
	},
	{
		name: "no status, as with a fake clientset", pod: pod("1", phase("")),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode},
	},
	{
		name: "no status and deleted", pod: pod("1", phase(""), deleting),
		want: stateWant{state: watchsource.Pending, terminating: true, exitCode: unknownCode},
	},
	{
		name: "no phase beside a reason", pod: pod("1", phase(""), status("Evicted", "")),
		want: stateWant{state: watchsource.Unknown, exitCode: unknownCode, reason: "Evicted"},
	},
	{
		name: "no phase beside a condition",
		pod:  pod("1", phase(""), condition(corev1.PodScheduled, corev1.ConditionTrue, "")),
		want: stateWant{state: watchsource.Unknown, exitCode: unknownCode},
	},
	{
		name: "no phase beside a container that runs", pod: pod("1", phase(""), container(executorContainer, running())),
		want: stateWant{state: watchsource.Unknown, exitCode: unknownCode},
	},
	{
		name: "no phase beside an init container", pod: pod("1", phase(""), initContainer("fetch", "", running())),
		want: stateWant{state: watchsource.Unknown, exitCode: unknownCode},
	},

	{name: "executor done, sidecar alive",
		pod:  pod("1", phase(corev1.PodRunning), container("sidecar", running()), container(executorContainer, ended(0, "Completed"))),
		want: stateWant{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
	{name: "executor failed, sidecar alive",
		pod:  pod("1", phase(corev1.PodRunning), container("sidecar", running()), container(executorContainer, ended(52, "Error"))),
		want: stateWant{state: watchsource.Failed, exitCode: 52, reason: "Error"}},
	{name: "sidecar failed, executor alive",
		pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), container(executorContainer, running())),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "Error"}},
	{name: "sidecar failed, executor alive, executor container only", options: containerOnly,
		pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "sidecar done",
		pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(0, "Completed")), container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "sidecar failed where the pod restarts it",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), container(executorContainer, running()),
			func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyAlways }),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "sidecar failed that has its own restart policy",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), container(executorContainer, running()),
			containerPolicy("sidecar", "OnFailure")),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "exit code of the executor, not of the sidecar before it",
		pod:  pod("1", phase(corev1.PodFailed), container("sidecar", ended(2, "Error")), container(executorContainer, ended(137, "OOMKilled"))),
		want: stateWant{state: watchsource.Failed, exitCode: 137, reason: "OOMKilled"}},
	{
		name: "running without a container status", pod: pod("1", phase(corev1.PodRunning)),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode},
	},
	{
		name: "running, a container without a state",
		pod:  pod("1", phase(corev1.PodRunning), container(executorContainer, corev1.ContainerState{})),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode},
	},
	{name: "another name for the executor container", options: []watchsource.StoreOption{
		watchsource.WithExecutorContainer("worker"), watchsource.WithExecutorContainerOnly(),
	},
		pod:  pod("1", phase(corev1.PodRunning), container("worker", ended(3, "Error")), container(executorContainer, running())),
		want: stateWant{state: watchsource.Failed, exitCode: 3, reason: "Error"}},

	{name: "native sidecar crashed, to be restarted",
		pod:  pod("1", phase(corev1.PodRunning), initContainer("proxy", "Always", ended(1, "Error")), container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "native sidecar ended after the executor",
		pod: pod("1", phase(corev1.PodRunning), initContainer("proxy", "Always", ended(143, "Error")),
			container(executorContainer, ended(0, "Completed"))),
		want: stateWant{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
	{name: "native sidecar holds the pod up",
		pod:  pod("1", initContainer("proxy", "Always", waiting("CrashLoopBackOff")), container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "CrashLoopBackOff"}},
	{name: "the executor as a native sidecar",
		pod:  pod("1", phase(corev1.PodRunning), initContainer(executorContainer, "Always", running()), container("job", running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "init container failed the pod",
		pod: pod("1", phase(corev1.PodFailed), initContainer("fetch", "", ended(4, "Error")),
			container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "Error"}},

	{
		name: "image pull back-off", pod: pod("1", container(executorContainer, waiting("ImagePullBackOff"))),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "ImagePullBackOff"},
	},
	{
		name: "on the way up", pod: pod("1", container(executorContainer, waiting("ContainerCreating"))),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "ContainerCreating"},
	},
	{
		name: "no node fits", pod: pod("1", condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable")),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "Unschedulable"},
	},
	{
		name: "evicted",
		pod:  pod("1", phase(corev1.PodFailed), status("Evicted", "low on memory"), container(executorContainer, ended(137, "Error"))),
		want: stateWant{state: watchsource.Failed, exitCode: 137, reason: "Evicted"},
	},
	{
		name: "node lost", pod: pod("1", phase(corev1.PodRunning), deleting, status("NodeLost", "")),
		want: stateWant{state: watchsource.Running, terminating: true, exitCode: unknownCode, reason: "NodeLost"},
	},
	{
		name: "node lost and cleaned up",
		pod:  pod("1", phase(corev1.PodFailed), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByPodGC")),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "DeletionByPodGC"},
	},
	{
		name: "about to be preempted",
		pod:  pod("1", phase(corev1.PodRunning), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler")),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode, reason: "PreemptionByScheduler"},
	},

	{name: "sidecar killed after the executor had succeeded (tekton#7439)",
		pod:  pod("1", phase(corev1.PodFailed), container(executorContainer, ended(0, "Completed")), container("sidecar", ended(143, "Error"))),
		want: stateWant{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
	{name: "the same, executor container only", options: containerOnly,
		pod:  pod("1", phase(corev1.PodFailed), container(executorContainer, ended(0, "Completed")), container("sidecar", ended(143, "Error"))),
		want: stateWant{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
	{name: "ended beside a sidecar that waits for its image (airflow#15336)",
		pod:  pod("1", container(executorContainer, ended(1, "Error")), container("sidecar", waiting("ImagePullBackOff"))),
		want: stateWant{state: watchsource.Failed, exitCode: 1, reason: "Error"}},
	{name: "preempted (nextflow#7378)",
		pod: pod("1", phase(corev1.PodFailed), condition(corev1.DisruptionTarget, corev1.ConditionTrue,
			"PreemptionByScheduler"), container(executorContainer, ended(143, "Error"))),
		want: stateWant{state: watchsource.Failed, exitCode: 143, reason: "PreemptionByScheduler"}},
	{name: "out of memory while preempted",
		pod: pod("1", phase(corev1.PodFailed), condition(corev1.DisruptionTarget, corev1.ConditionTrue,
			"PreemptionByScheduler"), container(executorContainer, ended(137, "OOMKilled"))),
		want: stateWant{state: watchsource.Failed, exitCode: 137, reason: "OOMKilled"}},
	{name: "evicted, with the kubelet's condition",
		pod: pod("1", phase(corev1.PodFailed), status("Evicted", ""),
			condition(corev1.DisruptionTarget, corev1.ConditionTrue, "TerminationByKubelet"), container(executorContainer, ended(137, "Error"))),
		want: stateWant{state: watchsource.Failed, exitCode: 137, reason: "Evicted"}},
	{name: "out of memory in an evicted pod",
		pod:  pod("1", phase(corev1.PodFailed), status("Evicted", ""), container(executorContainer, ended(137, "OOMKilled"))),
		want: stateWant{state: watchsource.Failed, exitCode: 137, reason: "OOMKilled"}},
	{name: "lost by the kubelet (actions-runner-controller#1369)",
		pod: pod("1", phase(corev1.PodFailed), deleting, container(executorContainer, waiting("ContainerCreating")),
			lastEnd(137, "ContainerStatusUnknown", 0)),
		want: stateWant{state: watchsource.Failed, terminating: true, exitCode: 137, reason: "ContainerStatusUnknown"}},
	{name: "restarted again and again (kubernetes#76619)",
		pod: pod("1", phase(corev1.PodRunning), restartPolicyAlways, container(executorContainer, waiting("CrashLoopBackOff")),
			lastEnd(137, "OOMKilled", 7)),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode, reason: "CrashLoopBackOff"}},
	{name: "runs again",
		pod:  pod("1", phase(corev1.PodRunning), restartPolicyAlways, container(executorContainer, running()), lastEnd(137, "OOMKilled", 7)),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "a resize that has to wait",
		pod: pod("1", phase(corev1.PodRunning), condition(corev1.PodResizePending, corev1.ConditionTrue, "Deferred"),
			container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},

	{name: "sidecar that its rule restarts (KEP-5307)",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(42, "Error")), restartRule("In", "Restart", 42),
			container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "sidecar that its rule for other codes restarts",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), restartRule("NotIn", "Restart", 42),
			container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "sidecar that no rule restarts",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), restartRule("In", "Restart", 42),
			container(executorContainer, running())),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "Error"}},
	{name: "sidecar with a rule that is not known",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(42, "Error")), restartRule("In", "Explode", 42),
			container(executorContainer, running())),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "Error"}},
	{name: "sidecar with a rule in a pod that is deleted",
		pod: pod("1", phase(corev1.PodRunning), deleting, container("sidecar", ended(42, "Error")), restartRule("In", "Restart", 42),
			container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, terminating: true, exitCode: unknownCode}},
	{name: "sidecar that restarts all containers (KEP-5532)",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(42, "Error")),
			restartRule("In", "RestartAllContainers", 42), container("logs",
				ended(137, "Error")), container(executorContainer, ended(143, "Error"))),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode, reason: "Error"}},
	{name: "stopped to restart all containers",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", running()),
			container(executorContainer, ended(143, "RestartingAllContainers"))),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode, reason: "RestartingAllContainers"}},
	{name: "all containers are restarting",
		pod: pod("1", phase(corev1.PodRunning), condition(corev1.AllContainersRestarting, corev1.ConditionTrue, ""),
			container("sidecar", ended(137, "Error")), container(executorContainer, ended(143, "Error"))),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode, reason: "Error"}},
	{name: "all containers have restarted",
		pod: pod("1", phase(corev1.PodRunning), condition(corev1.AllContainersRestarting, corev1.ConditionFalse, ""),
			container("sidecar", running()), container(executorContainer, ended(143, "Error"))),
		want: stateWant{state: watchsource.Failed, exitCode: 143, reason: "Error"}},
	{name: "executor that its rule restarts",
		pod:  pod("1", phase(corev1.PodRunning), container(executorContainer, ended(42, "Error")), restartRule("In", "Restart", 42)),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode, reason: "Error"}},
	{name: "executor with another exit code than its rule's",
		pod:  pod("1", phase(corev1.PodRunning), container(executorContainer, ended(1, "Error")), restartRule("In", "Restart", 42)),
		want: stateWant{state: watchsource.Failed, exitCode: 1, reason: "Error"}},
	{name: "executor with a rule, in a pod that is deleted",
		pod:  pod("1", phase(corev1.PodRunning), deleting, container(executorContainer, ended(42, "Error")), restartRule("In", "Restart", 42)),
		want: stateWant{state: watchsource.Failed, terminating: true, exitCode: 42, reason: "Error"}},
	{name: "executor with a rule, in a pod that has failed",
		pod:  pod("1", phase(corev1.PodFailed), container(executorContainer, ended(42, "Error")), restartRule("In", "Restart", 42)),
		want: stateWant{state: watchsource.Failed, exitCode: 42, reason: "Error"}},
	{name: "executor of a pod whose policy restarts it",
		pod:  pod("1", phase(corev1.PodRunning), restartPolicyAlways, container(executorContainer, ended(1, "Error"))),
		want: stateWant{state: watchsource.Failed, exitCode: 1, reason: "Error"}},
	{name: "deleted while it waited to be restarted",
		pod: pod("1", phase(corev1.PodRunning), deleting, restartPolicyAlways,
			container(executorContainer, waiting("CrashLoopBackOff")), lastEnd(137, "OOMKilled", 7)),
		want: stateWant{state: watchsource.Failed, terminating: true, exitCode: 137, reason: "OOMKilled"}},

	{name: "native sidecar killed after an init container had failed",
		pod: pod("1", phase(corev1.PodFailed), initContainer("proxy", "Always", ended(137, "Error")),
			initContainer("fetch", "", ended(4, "OOMKilled")), container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "OOMKilled"}},
	{name: "init container that the kubelet lost",
		pod: pod("1", phase(corev1.PodFailed), initContainer("fetch", "", waiting("PodInitializing")),
			lastInitEnd(137, "ContainerStatusUnknown"), container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "ContainerStatusUnknown"}},
	{name: "init container failed for good",
		pod:  pod("1", initContainer("fetch", "", ended(4, "OOMKilled")), container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "OOMKilled"}},
	{name: "init container failed for good, executor container only", options: containerOnly,
		pod:  pod("1", initContainer("fetch", "", ended(4, "OOMKilled")), container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "OOMKilled"}},
	{name: "init container failed that the pod restarts",
		pod: pod("1", restartPolicyAlways, initContainer("fetch", "", ended(4, "OOMKilled")),
			container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "OOMKilled"}},
	{name: "init container failed that its own policy restarts",
		pod:  pod("1", initContainer("fetch", "OnFailure", ended(4, "Error")), container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "Error"}},
	{name: "init container runs",
		pod:  pod("1", initContainer("fetch", "", running()), container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "PodInitializing"}},
	{name: "init container done",
		pod:  pod("1", initContainer("fetch", "", ended(0, "Completed")), container(executorContainer, waiting("ContainerCreating"))),
		want: stateWant{state: watchsource.Pending, exitCode: unknownCode, reason: "ContainerCreating"}},
	{name: "sidecar failed before the executor has its image",
		pod:  pod("1", container("sidecar", ended(1, "Error")), container(executorContainer, waiting("ImagePullBackOff"))),
		want: stateWant{state: watchsource.Failed, exitCode: unknownCode, reason: "Error"}},
	{name: "executor runs beside a sidecar that waits for its image",
		pod:  pod("1", container(executorContainer, running()), container("sidecar", waiting("ImagePullBackOff"))),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "ephemeral container failed",
		pod:  pod("1", phase(corev1.PodRunning), ephemeralContainer("debug", ended(1, "Error")), container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},

	{name: "the only container has another name (spark-operator#2441)",
		pod:  pod("1", phase(corev1.PodFailed), container("worker", ended(137, "OOMKilled"))),
		want: stateWant{state: watchsource.Failed, exitCode: 137, reason: "OOMKilled"}},
	{name: "the only container, beside an init container and an ephemeral one",
		pod: pod("1", phase(corev1.PodRunning), initContainer("fetch", "", ended(0, "Completed")),
			ephemeralContainer("debug", running()), container("worker", ended(3, "Error"))),
		want: stateWant{state: watchsource.Failed, exitCode: 3, reason: "Error"}},
	{name: "the only status is not the executor's",
		pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(0, "Completed")), func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: executorContainer})
		}),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},
	{name: "several containers, none has the name",
		pod:  pod("1", phase(corev1.PodRunning), container("worker", ended(0, "Completed")), container("sidecar", running())),
		want: stateWant{state: watchsource.Running, exitCode: unknownCode}},

	{
		name: "draining", pod: pod("1", phase(corev1.PodRunning), deleting, container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, terminating: true, exitCode: unknownCode},
	},
	{name: "exit code 0 under a verdict (kubernetes#115688)",
		pod:  pod("1", phase(corev1.PodFailed), status("DeadlineExceeded", ""), container(executorContainer, ended(0, "Completed"))),
		want: stateWant{state: watchsource.Failed, exitCode: 0, reason: "DeadlineExceeded"}},
	{name: "a verdict in lower case", pod: pod("1", phase("failed"), status("Evicted", ""),
		container(executorContainer, ended(0, "Completed"))),
		want: stateWant{state: watchsource.Failed, exitCode: 0, reason: "Evicted"}},
	{name: "exit code 0 under a virtual kubelet's verdict, with a sidecar",
		pod: pod("1", phase(corev1.PodFailed), status("ProviderFailed", ""), container("sidecar", ended(0, "Completed")),
			container(executorContainer, ended(0, "Completed"))),
		want: stateWant{state: watchsource.Failed, exitCode: 0, reason: "ProviderFailed"}},
	{name: "a reason of a pod that has not failed", pod: pod("1", phase(corev1.PodRunning), status("Shutdown", ""),
		container(executorContainer, ended(0, "Completed"))),
		want: stateWant{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
	{name: "no reason of a pod that has failed", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, ended(0, "Completed"))),
		want: stateWant{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
	{name: "sidecar dies in a pod that is deleted", pod: pod("1", phase(corev1.PodRunning), deleting,
		container("sidecar", ended(143, "Error")), container(executorContainer, running())),
		want: stateWant{state: watchsource.Running, terminating: true, exitCode: unknownCode}},
	{name: "init container dies in a pod that is deleted", pod: pod("1", deleting, initContainer("fetch", "", ended(143, "Error")),
		container(executorContainer, waiting("PodInitializing"))),
		want: stateWant{state: watchsource.Pending, terminating: true, exitCode: unknownCode, reason: "Error"}},
	{
		name: "failed and being deleted stays failed",
		pod:  pod("1", phase(corev1.PodFailed), deleting, container(executorContainer, ended(1, "Error"))),
		want: stateWant{state: watchsource.Failed, terminating: true, exitCode: 1, reason: "Error"},
	},
	{
		name: "succeeded and being deleted stays succeeded", pod: pod("1", phase(corev1.PodSucceeded), deleting),
		want: stateWant{state: watchsource.Succeeded, terminating: true, exitCode: unknownCode},
	},
	{
		name: "pending and being deleted", pod: pod("1", deleting),
		want: stateWant{state: watchsource.Pending, terminating: true, exitCode: unknownCode},
	},
}

// The cases of Spark's ExecutorPodsSnapshotSuite (N1 to N3, with SPARK-30821
// and SPARK-49804), and those where this library repairs the table.
func TestExecutorState(t *testing.T) {
	var table bytes.Buffer
	for _, test := range executorStates {
		must(t, json.NewEncoder(&table).Encode(map[string]any{"name": test.name, "pod": test.pod}))
		t.Run(test.name, func(t *testing.T) {
			for form, store := range formsOf(t, test.pod, test.options...) {
				e, ok := store.Snapshot().Get("exec-1")
				if !ok {
					t.Fatal("the executor is not in the snapshot, want it there")
				}
				got := stateWant{state: e.State, terminating: e.Terminating, exitCode: e.ExitCode, reason: e.Reason}
				if got != test.want {
					t.Errorf("%s: got %+v, want %+v", form, got, test.want)
				}
			}
		})
	}
	if *tableFile != "" {
		must(t, os.WriteFile(*tableFile, table.Bytes(), 0o644))
	}
}

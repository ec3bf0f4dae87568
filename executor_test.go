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

// The cases of Spark's ExecutorPodsSnapshotSuite (N1 to N3, with SPARK-30821
// and SPARK-49804), and those where this library repairs the table.
func TestExecutorState(t *testing.T) {
	type want struct {
		state       watchsource.State
		terminating bool
		exitCode    int32
		reason      string
	}
	const none = watchsource.UnknownExitCode
	only := []watchsource.StoreOption{watchsource.WithExecutorContainerOnly()}
	tests := []struct {
		name    string
		options []watchsource.StoreOption
		pod     *corev1.Pod
		want    want
	}{
		{name: "pending", pod: pod("1"), want: want{state: watchsource.Pending, exitCode: none}},
		{name: "phase in lower case", pod: pod("1", phase("running")), want: want{state: watchsource.Running, exitCode: none}},
		{name: "running", pod: pod("1", phase(corev1.PodRunning), container(executorContainer, running())), want: want{state: watchsource.Running, exitCode: none}},
		{name: "succeeded", pod: pod("1", phase(corev1.PodSucceeded), container(executorContainer, ended(0, "Completed"))), want: want{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
		{name: "failed", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, ended(1, "Error"))), want: want{state: watchsource.Failed, exitCode: 1, reason: "Error"}},
		{name: "unknown to Kubernetes too", pod: pod("1", phase(corev1.PodUnknown)), want: want{state: watchsource.Unknown, exitCode: none}},
		{name: "no phase Kubernetes defines", pod: pod("1", phase("Dreaming")), want: want{state: watchsource.Unknown, exitCode: none}},
		{name: "no status, as with a fake clientset", pod: pod("1", phase("")), want: want{state: watchsource.Pending, exitCode: none}},
		{name: "no status and deleted", pod: pod("1", phase(""), deleting), want: want{state: watchsource.Pending, terminating: true, exitCode: none}},
		{name: "no phase beside a reason", pod: pod("1", phase(""), status("Evicted", "")), want: want{state: watchsource.Unknown, exitCode: none, reason: "Evicted"}},
		{name: "no phase beside a condition", pod: pod("1", phase(""), condition(corev1.PodScheduled, corev1.ConditionTrue, "")), want: want{state: watchsource.Unknown, exitCode: none}},
		{name: "no phase beside a container that runs", pod: pod("1", phase(""), container(executorContainer, running())), want: want{state: watchsource.Unknown, exitCode: none}},
		{name: "no phase beside an init container", pod: pod("1", phase(""), initContainer("fetch", "", running())), want: want{state: watchsource.Unknown, exitCode: none}},

		{name: "executor done, sidecar alive",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", running()), container(executorContainer, ended(0, "Completed"))),
			want: want{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
		{name: "executor failed, sidecar alive",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", running()), container(executorContainer, ended(52, "Error"))),
			want: want{state: watchsource.Failed, exitCode: 52, reason: "Error"}},
		{name: "sidecar failed, executor alive",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), container(executorContainer, running())),
			want: want{state: watchsource.Failed, exitCode: none, reason: "Error"}},
		{name: "sidecar failed, executor alive, executor container only", options: only,
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), container(executorContainer, running())),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "sidecar done",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(0, "Completed")), container(executorContainer, running())),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "sidecar failed where the pod restarts it",
			pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), container(executorContainer, running()),
				func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyAlways }),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "sidecar failed that has its own restart policy",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), container(executorContainer, running()), containerPolicy("sidecar", "OnFailure")),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "exit code of the executor, not of the sidecar before it",
			pod:  pod("1", phase(corev1.PodFailed), container("sidecar", ended(2, "Error")), container(executorContainer, ended(137, "OOMKilled"))),
			want: want{state: watchsource.Failed, exitCode: 137, reason: "OOMKilled"}},
		{name: "running without a container status", pod: pod("1", phase(corev1.PodRunning)), want: want{state: watchsource.Running, exitCode: none}},
		{name: "running, a container without a state", pod: pod("1", phase(corev1.PodRunning), container(executorContainer, corev1.ContainerState{})), want: want{state: watchsource.Running, exitCode: none}},
		{name: "another name for the executor container", options: []watchsource.StoreOption{watchsource.WithExecutorContainer("worker"), watchsource.WithExecutorContainerOnly()},
			pod:  pod("1", phase(corev1.PodRunning), container("worker", ended(3, "Error")), container(executorContainer, running())),
			want: want{state: watchsource.Failed, exitCode: 3, reason: "Error"}},

		{name: "native sidecar crashed, to be restarted",
			pod:  pod("1", phase(corev1.PodRunning), initContainer("proxy", "Always", ended(1, "Error")), container(executorContainer, running())),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "native sidecar ended after the executor",
			pod:  pod("1", phase(corev1.PodRunning), initContainer("proxy", "Always", ended(143, "Error")), container(executorContainer, ended(0, "Completed"))),
			want: want{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
		{name: "native sidecar holds the pod up",
			pod:  pod("1", initContainer("proxy", "Always", waiting("CrashLoopBackOff")), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Pending, exitCode: none, reason: "CrashLoopBackOff"}},
		{name: "the executor as a native sidecar",
			pod:  pod("1", phase(corev1.PodRunning), initContainer(executorContainer, "Always", running()), container("job", running())),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "init container failed the pod",
			pod:  pod("1", phase(corev1.PodFailed), initContainer("fetch", "", ended(4, "Error")), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Failed, exitCode: none, reason: "Error"}},

		{name: "image pull back-off", pod: pod("1", container(executorContainer, waiting("ImagePullBackOff"))), want: want{state: watchsource.Pending, exitCode: none, reason: "ImagePullBackOff"}},
		{name: "on the way up", pod: pod("1", container(executorContainer, waiting("ContainerCreating"))), want: want{state: watchsource.Pending, exitCode: none, reason: "ContainerCreating"}},
		{name: "no node fits", pod: pod("1", condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable")), want: want{state: watchsource.Pending, exitCode: none, reason: "Unschedulable"}},
		{name: "evicted", pod: pod("1", phase(corev1.PodFailed), status("Evicted", "low on memory"), container(executorContainer, ended(137, "Error"))), want: want{state: watchsource.Failed, exitCode: 137, reason: "Evicted"}},
		{name: "node lost", pod: pod("1", phase(corev1.PodRunning), deleting, status("NodeLost", "")), want: want{state: watchsource.Running, terminating: true, exitCode: none, reason: "NodeLost"}},
		{name: "node lost and cleaned up", pod: pod("1", phase(corev1.PodFailed), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByPodGC")), want: want{state: watchsource.Failed, exitCode: none, reason: "DeletionByPodGC"}},
		{name: "about to be preempted", pod: pod("1", phase(corev1.PodRunning), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler")), want: want{state: watchsource.Running, exitCode: none, reason: "PreemptionByScheduler"}},

		{name: "sidecar killed after the executor had succeeded (tekton#7439)",
			pod:  pod("1", phase(corev1.PodFailed), container(executorContainer, ended(0, "Completed")), container("sidecar", ended(143, "Error"))),
			want: want{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
		{name: "the same, executor container only", options: only,
			pod:  pod("1", phase(corev1.PodFailed), container(executorContainer, ended(0, "Completed")), container("sidecar", ended(143, "Error"))),
			want: want{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
		{name: "ended beside a sidecar that waits for its image (airflow#15336)",
			pod:  pod("1", container(executorContainer, ended(1, "Error")), container("sidecar", waiting("ImagePullBackOff"))),
			want: want{state: watchsource.Failed, exitCode: 1, reason: "Error"}},
		{name: "preempted (nextflow#7378)",
			pod:  pod("1", phase(corev1.PodFailed), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler"), container(executorContainer, ended(143, "Error"))),
			want: want{state: watchsource.Failed, exitCode: 143, reason: "PreemptionByScheduler"}},
		{name: "out of memory while preempted",
			pod:  pod("1", phase(corev1.PodFailed), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler"), container(executorContainer, ended(137, "OOMKilled"))),
			want: want{state: watchsource.Failed, exitCode: 137, reason: "OOMKilled"}},
		{name: "evicted, with the kubelet's condition",
			pod:  pod("1", phase(corev1.PodFailed), status("Evicted", ""), condition(corev1.DisruptionTarget, corev1.ConditionTrue, "TerminationByKubelet"), container(executorContainer, ended(137, "Error"))),
			want: want{state: watchsource.Failed, exitCode: 137, reason: "Evicted"}},
		{name: "out of memory in an evicted pod",
			pod:  pod("1", phase(corev1.PodFailed), status("Evicted", ""), container(executorContainer, ended(137, "OOMKilled"))),
			want: want{state: watchsource.Failed, exitCode: 137, reason: "OOMKilled"}},
		{name: "lost by the kubelet (actions-runner-controller#1369)",
			pod:  pod("1", phase(corev1.PodFailed), deleting, container(executorContainer, waiting("ContainerCreating")), lastEnd(137, "ContainerStatusUnknown", 0)),
			want: want{state: watchsource.Failed, terminating: true, exitCode: 137, reason: "ContainerStatusUnknown"}},
		{name: "restarted again and again (kubernetes#76619)",
			pod:  pod("1", phase(corev1.PodRunning), restartPolicyAlways, container(executorContainer, waiting("CrashLoopBackOff")), lastEnd(137, "OOMKilled", 7)),
			want: want{state: watchsource.Running, exitCode: none, reason: "CrashLoopBackOff"}},
		{name: "runs again",
			pod:  pod("1", phase(corev1.PodRunning), restartPolicyAlways, container(executorContainer, running()), lastEnd(137, "OOMKilled", 7)),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "a resize that has to wait",
			pod:  pod("1", phase(corev1.PodRunning), condition(corev1.PodResizePending, corev1.ConditionTrue, "Deferred"), container(executorContainer, running())),
			want: want{state: watchsource.Running, exitCode: none}},

		{name: "sidecar that its rule restarts (KEP-5307)",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(42, "Error")), restartRule("In", "Restart", 42), container(executorContainer, running())),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "sidecar that its rule for other codes restarts",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), restartRule("NotIn", "Restart", 42), container(executorContainer, running())),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "sidecar that no rule restarts",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(1, "Error")), restartRule("In", "Restart", 42), container(executorContainer, running())),
			want: want{state: watchsource.Failed, exitCode: none, reason: "Error"}},
		{name: "sidecar with a rule that is not known",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(42, "Error")), restartRule("In", "Explode", 42), container(executorContainer, running())),
			want: want{state: watchsource.Failed, exitCode: none, reason: "Error"}},
		{name: "sidecar with a rule in a pod that is deleted",
			pod:  pod("1", phase(corev1.PodRunning), deleting, container("sidecar", ended(42, "Error")), restartRule("In", "Restart", 42), container(executorContainer, running())),
			want: want{state: watchsource.Running, terminating: true, exitCode: none}},
		{name: "sidecar that restarts all containers (KEP-5532)",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", ended(42, "Error")), restartRule("In", "RestartAllContainers", 42), container("logs", ended(137, "Error")), container(executorContainer, ended(143, "Error"))),
			want: want{state: watchsource.Running, exitCode: none, reason: "Error"}},
		{name: "stopped to restart all containers",
			pod:  pod("1", phase(corev1.PodRunning), container("sidecar", running()), container(executorContainer, ended(143, "RestartingAllContainers"))),
			want: want{state: watchsource.Running, exitCode: none, reason: "RestartingAllContainers"}},
		{name: "all containers are restarting",
			pod:  pod("1", phase(corev1.PodRunning), condition(corev1.AllContainersRestarting, corev1.ConditionTrue, ""), container("sidecar", ended(137, "Error")), container(executorContainer, ended(143, "Error"))),
			want: want{state: watchsource.Running, exitCode: none, reason: "Error"}},
		{name: "all containers have restarted",
			pod:  pod("1", phase(corev1.PodRunning), condition(corev1.AllContainersRestarting, corev1.ConditionFalse, ""), container("sidecar", running()), container(executorContainer, ended(143, "Error"))),
			want: want{state: watchsource.Failed, exitCode: 143, reason: "Error"}},
		{name: "executor that its rule restarts",
			pod:  pod("1", phase(corev1.PodRunning), container(executorContainer, ended(42, "Error")), restartRule("In", "Restart", 42)),
			want: want{state: watchsource.Running, exitCode: none, reason: "Error"}},
		{name: "executor with another exit code than its rule's",
			pod:  pod("1", phase(corev1.PodRunning), container(executorContainer, ended(1, "Error")), restartRule("In", "Restart", 42)),
			want: want{state: watchsource.Failed, exitCode: 1, reason: "Error"}},
		{name: "executor with a rule, in a pod that is deleted",
			pod:  pod("1", phase(corev1.PodRunning), deleting, container(executorContainer, ended(42, "Error")), restartRule("In", "Restart", 42)),
			want: want{state: watchsource.Failed, terminating: true, exitCode: 42, reason: "Error"}},
		{name: "executor with a rule, in a pod that has failed",
			pod:  pod("1", phase(corev1.PodFailed), container(executorContainer, ended(42, "Error")), restartRule("In", "Restart", 42)),
			want: want{state: watchsource.Failed, exitCode: 42, reason: "Error"}},
		{name: "executor of a pod whose policy restarts it",
			pod:  pod("1", phase(corev1.PodRunning), restartPolicyAlways, container(executorContainer, ended(1, "Error"))),
			want: want{state: watchsource.Failed, exitCode: 1, reason: "Error"}},
		{name: "deleted while it waited to be restarted",
			pod:  pod("1", phase(corev1.PodRunning), deleting, restartPolicyAlways, container(executorContainer, waiting("CrashLoopBackOff")), lastEnd(137, "OOMKilled", 7)),
			want: want{state: watchsource.Failed, terminating: true, exitCode: 137, reason: "OOMKilled"}},

		{name: "native sidecar killed after an init container had failed",
			pod:  pod("1", phase(corev1.PodFailed), initContainer("proxy", "Always", ended(137, "Error")), initContainer("fetch", "", ended(4, "OOMKilled")), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Failed, exitCode: none, reason: "OOMKilled"}},
		{name: "init container that the kubelet lost",
			pod:  pod("1", phase(corev1.PodFailed), initContainer("fetch", "", waiting("PodInitializing")), lastInitEnd(137, "ContainerStatusUnknown"), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Failed, exitCode: none, reason: "ContainerStatusUnknown"}},
		{name: "init container failed for good",
			pod:  pod("1", initContainer("fetch", "", ended(4, "OOMKilled")), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Failed, exitCode: none, reason: "OOMKilled"}},
		{name: "init container failed for good, executor container only", options: only,
			pod:  pod("1", initContainer("fetch", "", ended(4, "OOMKilled")), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Pending, exitCode: none, reason: "OOMKilled"}},
		{name: "init container failed that the pod restarts",
			pod:  pod("1", restartPolicyAlways, initContainer("fetch", "", ended(4, "OOMKilled")), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Pending, exitCode: none, reason: "OOMKilled"}},
		{name: "init container failed that its own policy restarts",
			pod:  pod("1", initContainer("fetch", "OnFailure", ended(4, "Error")), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Pending, exitCode: none, reason: "Error"}},
		{name: "init container runs",
			pod:  pod("1", initContainer("fetch", "", running()), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Pending, exitCode: none, reason: "PodInitializing"}},
		{name: "init container done",
			pod:  pod("1", initContainer("fetch", "", ended(0, "Completed")), container(executorContainer, waiting("ContainerCreating"))),
			want: want{state: watchsource.Pending, exitCode: none, reason: "ContainerCreating"}},
		{name: "sidecar failed before the executor has its image",
			pod:  pod("1", container("sidecar", ended(1, "Error")), container(executorContainer, waiting("ImagePullBackOff"))),
			want: want{state: watchsource.Failed, exitCode: none, reason: "Error"}},
		{name: "executor runs beside a sidecar that waits for its image",
			pod:  pod("1", container(executorContainer, running()), container("sidecar", waiting("ImagePullBackOff"))),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "ephemeral container failed",
			pod:  pod("1", phase(corev1.PodRunning), ephemeralContainer("debug", ended(1, "Error")), container(executorContainer, running())),
			want: want{state: watchsource.Running, exitCode: none}},

		{name: "the only container has another name (spark-operator#2441)",
			pod:  pod("1", phase(corev1.PodFailed), container("worker", ended(137, "OOMKilled"))),
			want: want{state: watchsource.Failed, exitCode: 137, reason: "OOMKilled"}},
		{name: "the only container, beside an init container and an ephemeral one",
			pod:  pod("1", phase(corev1.PodRunning), initContainer("fetch", "", ended(0, "Completed")), ephemeralContainer("debug", running()), container("worker", ended(3, "Error"))),
			want: want{state: watchsource.Failed, exitCode: 3, reason: "Error"}},
		{name: "the only status is not the executor's",
			pod: pod("1", phase(corev1.PodRunning), container("sidecar", ended(0, "Completed")), func(p *corev1.Pod) {
				p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: executorContainer})
			}),
			want: want{state: watchsource.Running, exitCode: none}},
		{name: "several containers, none has the name",
			pod:  pod("1", phase(corev1.PodRunning), container("worker", ended(0, "Completed")), container("sidecar", running())),
			want: want{state: watchsource.Running, exitCode: none}},

		{name: "draining", pod: pod("1", phase(corev1.PodRunning), deleting, container(executorContainer, running())), want: want{state: watchsource.Running, terminating: true, exitCode: none}},
		{name: "exit code 0 under a verdict (kubernetes#115688)",
			pod:  pod("1", phase(corev1.PodFailed), status("DeadlineExceeded", ""), container(executorContainer, ended(0, "Completed"))),
			want: want{state: watchsource.Failed, exitCode: 0, reason: "DeadlineExceeded"}},
		{name: "a verdict in lower case", pod: pod("1", phase("failed"), status("Evicted", ""), container(executorContainer, ended(0, "Completed"))),
			want: want{state: watchsource.Failed, exitCode: 0, reason: "Evicted"}},
		{name: "exit code 0 under a virtual kubelet's verdict, with a sidecar",
			pod:  pod("1", phase(corev1.PodFailed), status("ProviderFailed", ""), container("sidecar", ended(0, "Completed")), container(executorContainer, ended(0, "Completed"))),
			want: want{state: watchsource.Failed, exitCode: 0, reason: "ProviderFailed"}},
		{name: "a reason of a pod that has not failed", pod: pod("1", phase(corev1.PodRunning), status("Shutdown", ""), container(executorContainer, ended(0, "Completed"))),
			want: want{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
		{name: "no reason of a pod that has failed", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, ended(0, "Completed"))),
			want: want{state: watchsource.Succeeded, exitCode: 0, reason: "Completed"}},
		{name: "sidecar dies in a pod that is deleted", pod: pod("1", phase(corev1.PodRunning), deleting, container("sidecar", ended(143, "Error")), container(executorContainer, running())),
			want: want{state: watchsource.Running, terminating: true, exitCode: none}},
		{name: "init container dies in a pod that is deleted", pod: pod("1", deleting, initContainer("fetch", "", ended(143, "Error")), container(executorContainer, waiting("PodInitializing"))),
			want: want{state: watchsource.Pending, terminating: true, exitCode: none, reason: "Error"}},
		{name: "failed and being deleted stays failed", pod: pod("1", phase(corev1.PodFailed), deleting, container(executorContainer, ended(1, "Error"))), want: want{state: watchsource.Failed, terminating: true, exitCode: 1, reason: "Error"}},
		{name: "succeeded and being deleted stays succeeded", pod: pod("1", phase(corev1.PodSucceeded), deleting), want: want{state: watchsource.Succeeded, terminating: true, exitCode: none}},
		{name: "pending and being deleted", pod: pod("1", deleting), want: want{state: watchsource.Pending, terminating: true, exitCode: none}},
	}
	var table bytes.Buffer
	for _, test := range tests {
		must(t, json.NewEncoder(&table).Encode(map[string]any{"name": test.name, "pod": test.pod}))
		t.Run(test.name, func(t *testing.T) {
			for form, store := range formsOf(t, test.pod, test.options...) {
				e, ok := store.Snapshot().Get("exec-1")
				if !ok {
					t.Fatal("the executor is not in the snapshot, want it there")
				}
				got := want{state: e.State, terminating: e.Terminating, exitCode: e.ExitCode, reason: e.Reason}
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

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

func status(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Reason, p.Status.Message = reason, message }
}

func condition(kind corev1.PodConditionType, status corev1.ConditionStatus, reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: reason})
	}
}

// initContainer adds an init container, a native sidecar if it has the restart
// policy Always.
func initContainer(name string, policy corev1.ContainerRestartPolicy, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := corev1.Container{Name: name}
		if policy != "" {
			c.RestartPolicy = &policy
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
}

func containerPolicy(name string, policy corev1.ContainerRestartPolicy) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for i := range p.Spec.Containers {
			if p.Spec.Containers[i].Name == name {
				p.Spec.Containers[i].RestartPolicy = &policy
			}
		}
	}
}

func restartPolicyAlways(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyAlways }

// lastEnd gives the container that was added last an earlier run.
func lastEnd(code int32, reason string, restarts int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		status := &p.Status.ContainerStatuses[len(p.Status.ContainerStatuses)-1]
		status.LastTerminationState = ended(code, reason)
		status.RestartCount = restarts
	}
}

// restartRule gives the container that was added last the policy Never and a rule.
func restartRule(operator corev1.ContainerRestartRuleOnExitCodesOperator, action corev1.ContainerRestartRuleAction, codes ...int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		never := corev1.ContainerRestartPolicyNever
		c := &p.Spec.Containers[len(p.Spec.Containers)-1]
		c.RestartPolicy = &never
		c.RestartPolicyRules = append(c.RestartPolicyRules, corev1.ContainerRestartRule{
			Action:    action,
			ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: operator, Values: codes},
		})
	}
}

// lastInitEnd gives the init container that was added last an earlier run.
func lastInitEnd(code int32, reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.InitContainerStatuses[len(p.Status.InitContainerStatuses)-1].LastTerminationState = ended(code, reason)
	}
}

func ephemeralContainer(name string, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.EphemeralContainerStatuses = append(p.Status.EphemeralContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
}

// formsOf returns a store for each form in which a store may get and keep a pod.
func formsOf(t *testing.T, p *corev1.Pod, options ...watchsource.StoreOption) map[string]*watchsource.Store {
	t.Helper()
	full, listed := watchsource.NewStore(options...), watchsource.NewStore(options...)
	trimmed := watchsource.NewStore(options...)
	dropped := watchsource.NewStore(append(slices.Clip(options), watchsource.WithoutPods())...)
	selector := selectorOf(t, "")
	watcher := watchsource.NewWatcher(watchsource.Tee(full, &recordingStore{}), selector)
	must(t, watcher.Receive(added(p)))
	watcher = watchsource.NewWatcher(watchsource.Tee(trimmed, dropped), selector, watchsource.WithTrimmedPods())
	must(t, watcher.Receive(added(p.DeepCopy())))
	listed.ReplaceSnapshot([]*corev1.Pod{p})
	wired, wiredAndDropped := watchsource.NewStore(options...), watchsource.NewStore(append(slices.Clip(options), watchsource.WithoutPods())...)
	for _, store := range []*watchsource.Store{wired, wiredAndDropped} {
		must(t, watchsource.NewWatcher(store, selector).Receive(watch.Event{Type: watch.Added, Object: inWireForm(t, p)}))
	}
	return map[string]*watchsource.Store{
		"full": full, "listed": listed, "trimmed": trimmed, "dropped": dropped, "in wire form": wired, "in wire form, dropped": wiredAndDropped,
	}
}

var tableFile = flag.String("table", "", "file to which TestExecutorState writes its pods as lines of JSON, for integration/spark")

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

func TestExecutorFields(t *testing.T) {
	p := pod("7", uid("u-7"), version("42"), phase(corev1.PodFailed), container(executorContainer, ended(137, "OOMKilled")), func(p *corev1.Pod) {
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

// What an executor says beside its state and its reason, also in a store that
// keeps no pods.
func TestExecutorDetails(t *testing.T) {
	preempted := condition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler")
	neverStarted := ended(128, "StartError")
	neverStarted.Terminated.StartedAt = metav1.NewTime(time.Unix(0, 0)) // kubernetes#120331
	for _, test := range []struct {
		name  string
		pod   *corev1.Pod
		check func(watchsource.Executor) bool
	}{
		{name: "disruption of a failed executor", pod: pod("1", phase(corev1.PodFailed), preempted, container(executorContainer, ended(137, "OOMKilled"))),
			check: func(e watchsource.Executor) bool {
				return e.Disruption == "PreemptionByScheduler" && e.Reason == "OOMKilled"
			}},
		{name: "disruption of one that succeeded", pod: pod("1", phase(corev1.PodSucceeded), preempted, container(executorContainer, ended(0, "Completed"))),
			check: func(e watchsource.Executor) bool {
				return e.Disruption == "PreemptionByScheduler" && e.State == watchsource.Succeeded
			}},
		{name: "evicted by Kueue (kueue#2160)", pod: pod("1", phase(corev1.PodFailed), deleting, container(executorContainer, ended(143, "Error")),
			condition("TerminationTarget", corev1.ConditionTrue, "WorkloadEvictedDueToPreempted")),
			check: func(e watchsource.Executor) bool {
				return e.Disruption == "WorkloadEvictedDueToPreempted" && e.Reason == "WorkloadEvictedDueToPreempted" && e.ExitCode == 143
			}},
		{name: "evicted by Kueue and disrupted", pod: pod("1", phase(corev1.PodFailed), preempted, container(executorContainer, ended(143, "Error")),
			condition("TerminationTarget", corev1.ConditionTrue, "WorkloadEvictedDueToPreempted")),
			check: func(e watchsource.Executor) bool { return e.Disruption == "PreemptionByScheduler" }},
		{name: "not evicted by Kueue any more", pod: pod("1", phase(corev1.PodRunning), condition("TerminationTarget", corev1.ConditionFalse, "WorkloadEvictedDueToPreempted")),
			check: func(e watchsource.Executor) bool { return e.Disruption == "" && e.Reason == "" }},
		{name: "out of memory under a verdict with exit code 0", pod: pod("1", phase(corev1.PodFailed), status("Evicted", "low on memory"), container(executorContainer, ended(0, "OOMKilled"))),
			check: func(e watchsource.Executor) bool {
				return e.State == watchsource.Failed && e.Reason == "OOMKilled" && e.ExitCode == 0
			}},
		{name: "the message of a verdict", pod: pod("1", phase(corev1.PodFailed), status("Evicted", "low on memory"), container(executorContainer, ended(0, "Completed"))),
			check: func(e watchsource.Executor) bool { return e.Reason == "Evicted" && e.Message == "low on memory" }},
		{name: "a disruption that is over", pod: pod("1", phase(corev1.PodRunning), condition(corev1.DisruptionTarget, corev1.ConditionFalse, "PreemptionByScheduler")),
			check: func(e watchsource.Executor) bool { return e.Disruption == "" && e.Reason == "" }},
		{name: "restarts", pod: pod("1", phase(corev1.PodRunning), restartPolicyAlways, container(executorContainer, waiting("CrashLoopBackOff")), lastEnd(137, "OOMKilled", 7)),
			check: func(e watchsource.Executor) bool {
				return e.Restarts == 7 && e.Message == "CrashLoopBackOff it is; the last run ended with exit code 137, OOMKilled"
			}},
		{name: "never started", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, neverStarted)),
			check: func(e watchsource.Executor) bool {
				return e.StartedAt.IsZero() && e.FinishedAt.Equal(time.Unix(1_700_000_200, 0)) && e.ExitCode == 128
			}},
		{name: "an init container that failed the pod", pod: pod("1", phase(corev1.PodFailed), initContainer("proxy", "Always", ended(137, "Error")), initContainer("fetch", "", ended(4, "OOMKilled"))),
			check: func(e watchsource.Executor) bool { return e.Message == "init container fetch ended with exit code 4" }},
		{name: "a container that a rule restarts", pod: pod("1", phase(corev1.PodRunning), container(executorContainer, ended(42, "Error")), restartRule("In", "Restart", 42)),
			check: func(e watchsource.Executor) bool {
				return e.Message == "the executor container ended with exit code 42; it is started again" && e.FinishedAt.IsZero() && !e.StartedAt.IsZero()
			}},
		{name: "no container with the name", pod: pod("1", phase(corev1.PodRunning), container("worker", ended(0, "Completed")), container("sidecar", running())),
			check: func(e watchsource.Executor) bool {
				return e.Problem == "no container is named spark-kubernetes-executor; set WithExecutorContainer"
			}},
		{name: "no container has a status yet", pod: pod("1"), check: func(e watchsource.Executor) bool { return e.Problem == "" }},
		{name: "resized in place", pod: pod("1", phase(corev1.PodRunning), container(executorContainer, running()), condition(corev1.PodResizeInProgress, corev1.ConditionTrue, "Error")),
			check: func(e watchsource.Executor) bool { return e.Reason == "" && e.State == watchsource.Running }},
		{name: "no times", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}})),
			check: func(e watchsource.Executor) bool {
				return e.StartedAt.IsZero() && e.FinishedAt.IsZero() && e.ExitCode == 1
			}},
		{name: "a negative exit code, as on Windows", pod: pod("1", phase(corev1.PodFailed), container(executorContainer, ended(-1073741510, "Error"))),
			check: func(e watchsource.Executor) bool { return e.State == watchsource.Failed && e.ExitCode == -1073741510 }},
	} {
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

	// In an earlier history of the server the end has not happened.
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
			for _, p := range []*corev1.Pod{states(running()), states(done), states(done, killed), states(done, killed, deleting), states(running()), states(second)} {
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

// G11: a pod that cannot be understood is tracked and reported by itself, and
// no other is disturbed.
func TestGuarantee11BadPods(t *testing.T) {
	bad := []struct {
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
		{name: "two at once", pod: pod("y", phase("Dreaming")), id: "y", state: watchsource.Unknown, problem: `label spark-exec-id is not a number: "y"; unknown phase "Dreaming"`},
		{name: "nothing at all", pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "exec-bare"}}, state: watchsource.Pending, problem: "no label spark-exec-id"},
	}
	log := &logLines{}
	store := watchsource.NewStore(watchsource.WithLogger(log.logger(0)))
	good := []*corev1.Pod{pod("100", phase(corev1.PodRunning)), pod("101", phase(corev1.PodSucceeded))}
	all := good
	for _, b := range bad {
		all = append(all, b.pod)
	}
	store.ReplaceSnapshot(all)
	for _, b := range bad {
		store.UpdatePod(b.pod) // again, and not logged again
	}

	snapshot := store.Snapshot()
	for _, b := range bad {
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
	if lines := log.matching("Executor pod not fully understood"); len(lines) != len(bad) {
		t.Errorf("%d log lines, want %d, one for each bad pod:\n%v", len(lines), len(bad), lines)
	}
}

// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	mainContainer = "spark-kubernetes-executor"
	sidecar       = "logs"
)

// Statuses as a kubelet writes them, of which a scheduler must not be misled about
// the executor's end. Each has its source.
func TestStatesOfAKubelet(t *testing.T) {
	client := admin(t)
	began := metav1.Unix(1_800_000_000, 0)
	running := func(name string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, ContainerID: "containerd://" + name + "0", Ready: true, Started: new(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}}
	}
	terminated := func(name string, code int32, reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, ContainerID: "containerd://" + name + "0", Started: new(false),
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: code, Reason: reason, StartedAt: began, FinishedAt: metav1.Unix(1_800_000_060, 0), ContainerID: "containerd://" + name + "0",
			}}}
	}
	waiting := func(name, reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, Started: new(false),
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "back-off"}}}
	}
	restarting := waiting(mainContainer, "CrashLoopBackOff")
	restarting.RestartCount, restarting.ContainerID = 7, "containerd://"+mainContainer+"7"
	restarting.LastTerminationState = terminated(mainContainer, 137, "OOMKilled").State
	restarting.LastTerminationState.Terminated.ContainerID = restarting.ContainerID

	lost := func(name string) corev1.ContainerStatus {
		end := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was terminated",
		}}
		return corev1.ContainerStatus{Name: name, RestartCount: 1, Started: new(false), State: end, LastTerminationState: end}
	}
	const deadline = "DeadlineExceeded"

	for _, test := range []struct {
		name     string
		policy   corev1.RestartPolicy
		statuses []corev1.PodStatus
		want     watchsource.Executor
		ends     int
	}{
		{
			name: "the kubelet loses it, and evicts the pod (kubernetes#122160)",
			statuses: []corev1.PodStatus{
				{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(sidecar), running(mainContainer)}},
				{Phase: corev1.PodFailed, Reason: "Evicted", ContainerStatuses: []corev1.ContainerStatus{lost(sidecar), lost(mainContainer)}},
			},
			want: watchsource.Executor{State: watchsource.Failed, ExitCode: 137, Reason: "Evicted", Restarts: 1},
			ends: 1,
		},
		{
			name: "it ends with exit code 0 at the deadline of the pod (kubernetes#115688)",
			statuses: []corev1.PodStatus{
				{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(sidecar), running(mainContainer)}},
				{Phase: corev1.PodFailed, Reason: deadline, ContainerStatuses: []corev1.ContainerStatus{terminated(sidecar, 143, "Error"), terminated(mainContainer, 0, "Completed")}},
			},
			want: watchsource.Executor{State: watchsource.Failed, ExitCode: 0, Reason: deadline},
			ends: 1,
		},
		{
			name: "the deadline of the pod comes before its end (kubernetes#98718)",
			statuses: []corev1.PodStatus{
				{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(sidecar), running(mainContainer)}},
				{Phase: corev1.PodFailed, Reason: deadline, ContainerStatuses: []corev1.ContainerStatus{running(sidecar), running(mainContainer)}},
				{Phase: corev1.PodFailed, Reason: deadline, ContainerStatuses: []corev1.ContainerStatus{terminated(sidecar, 143, "Error"), terminated(mainContainer, 0, "Completed")}},
			},
			want: watchsource.Executor{State: watchsource.Failed, ExitCode: watchsource.UnknownExitCode, Reason: deadline,
				Problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Failed, exit code 0, DeadlineExceeded"},
			ends: 1,
		},
		{
			name: "a sidecar is killed after the executor has succeeded (tekton#7439)",
			statuses: []corev1.PodStatus{
				{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(sidecar), running(mainContainer)}},
				{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(sidecar), terminated(mainContainer, 0, "Completed")}},
				{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{terminated(sidecar, 143, "Error"), terminated(mainContainer, 0, "Completed")}},
			},
			want: watchsource.Executor{State: watchsource.Succeeded, ExitCode: 0, Reason: "Completed"},
			ends: 1,
		},
		{
			name: "the executor ends while a sidecar waits for its image (airflow#15336)",
			statuses: []corev1.PodStatus{
				{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting(sidecar, "ImagePullBackOff"), running(mainContainer)}},
				{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting(sidecar, "ImagePullBackOff"), terminated(mainContainer, 1, "Error")}},
			},
			want: watchsource.Executor{State: watchsource.Failed, ExitCode: 1, Reason: "Error"},
			ends: 1,
		},
		{
			name: "the scheduler preempts it (nextflow#7378)",
			statuses: []corev1.PodStatus{
				{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(sidecar), running(mainContainer)}},
				{Phase: corev1.PodFailed,
					Conditions:        []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler, LastTransitionTime: began}},
					ContainerStatuses: []corev1.ContainerStatus{terminated(sidecar, 143, "Error"), terminated(mainContainer, 143, "Error")}},
			},
			want: watchsource.Executor{State: watchsource.Failed, ExitCode: 143, Reason: corev1.PodReasonPreemptionByScheduler, Disruption: corev1.PodReasonPreemptionByScheduler},
			ends: 1,
		},
		{
			name:   "it runs out of memory again and again (kubernetes#76619)",
			policy: corev1.RestartPolicyAlways,
			statuses: []corev1.PodStatus{
				{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(sidecar), restarting}},
			},
			want: watchsource.Executor{State: watchsource.Running, ExitCode: watchsource.UnknownExitCode, Reason: "CrashLoopBackOff", Restarts: 7},
			ends: 1, // of the run before, which only the last state shows
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			namespace := newNamespace(t, client)
			store := watchsource.NewStore()
			source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace(namespace))
			if err := source.Start(appID); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(source.Stop)

			pod := executorPod(namespace, appID, 1)
			pod.Spec.Containers = append([]corev1.Container{{Name: sidecar, Image: "registry.example/logs:1"}}, pod.Spec.Containers...)
			if test.policy != "" {
				pod.Spec.RestartPolicy = test.policy
			}
			pod = create(t, client, pod)[0]
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := store.WaitForResourceVersion(ctx, pod.ResourceVersion); err != nil {
				t.Fatal(err)
			}
			ends := countEnds(ctx, store)
			for _, status := range test.statuses {
				pod = writeStatus(t, client, pod, status)
			}
			snapshot, err := store.WaitForResourceVersion(ctx, pod.ResourceVersion)
			if err != nil {
				t.Fatal(err)
			}
			e, _ := snapshot.Get(pod.Name)
			got := watchsource.Executor{State: e.State, ExitCode: e.ExitCode, Reason: e.Reason, Disruption: e.Disruption, Restarts: e.Restarts, Problem: e.Problem}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			remove(t, client, byForce, pod)
			if n := <-ends; n != test.ends {
				t.Errorf("a reader was shown %d ends, want %d", n, test.ends)
			}
		})
	}
}

// countEnds returns how many ends a reader is shown until the executor has left.
func countEnds(ctx context.Context, store *watchsource.Store) <-chan int {
	result, joined := make(chan int, 1), make(chan struct{})
	go func() {
		ends := 0
		defer func() { result <- ends }()
		for batch := range store.Batches(ctx, 0) {
			if batch.Full { // the first
				close(joined)
			}
			for _, c := range batch.Changes {
				if c.Ended {
					ends++
				}
				if c.After.State == watchsource.Deleted {
					return
				}
			}
		}
	}()
	<-joined
	return result
}

func writeStatus(t *testing.T, client kubernetes.Interface, pod *corev1.Pod, status corev1.PodStatus) *corev1.Pod {
	t.Helper()
	pod = pod.DeepCopy()
	pod.Status = status
	written, err := client.CoreV1().Pods(pod.Namespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return written
}

// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The annotations by which a pod tells a simulated kubelet what its container
// would do.
const (
	RunForAnnotation   = "watchsource.example/run-for"   // a Go duration; absent: until the pod is deleted
	ExitCodeAnnotation = "watchsource.example/exit-code" // a decimal number; absent: 0
)

// runFor is what the pod's annotation says, 0 for no limit.
func (l *life) runFor() time.Duration {
	d, _ := time.ParseDuration(l.pod.Annotations[RunForAnnotation])
	return d
}

func (l *life) exitCode() int32 {
	code, _ := strconv.ParseInt(l.pod.Annotations[ExitCodeAnnotation], 10, 32)
	return int32(code)
}

// endReason is the word that a container runtime has for an exit code. SIGKILL
// comes from the kernel here, which had no memory left.
func endReason(code int32) string {
	switch code {
	case 0:
		return "Completed"
	case 137:
		return "OOMKilled"
	default:
		return "Error"
	}
}

func setEnd(pod *corev1.Pod, code int32, reason string) {
	pod.Status.Phase = corev1.PodFailed
	if code == 0 {
		pod.Status.Phase = corev1.PodSucceeded
	}
	setContainer(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, FinishedAt: metav1.Now(),
	}})
}

func setContainer(pod *corev1.Pod, state corev1.ContainerState) {
	container := pod.Spec.Containers[0]
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  container.Name,
		Image: container.Image,
		State: state,
		Ready: state.Running != nil,
	}}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

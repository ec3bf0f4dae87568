// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// AnnotationRunFor says how long the executor container runs.
	AnnotationRunFor = "watchtest/run-for"
	// AnnotationExitCode says with which code it ends.
	AnnotationExitCode = "watchtest/exit-code"

	executorContainer = "spark-kubernetes-executor"

	exitKilled     = 137 // 128 + SIGKILL, what the out-of-memory killer leaves
	exitTerminated = 143 // 128 + SIGTERM, what a deletion leaves
)

// An end is how an executor container ended.
type end struct {
	code            int32
	reason, message string
	eviction        string // the message, if the pod was evicted
}

// annotatedEnd returns the end that the annotations of a pod name, or nil and how long
// the container still runs, 0 for ever.
func annotatedEnd(pod *corev1.Pod) (e *end, left time.Duration, err error) {
	text, ends := pod.Annotations[AnnotationRunFor]
	if !ends {
		return nil, 0, nil
	}
	life, err := time.ParseDuration(text)
	if err != nil {
		return nil, 0, fmt.Errorf("read annotation %s: %w", AnnotationRunFor, err)
	}
	if left := time.Until(startedAt(pod).Add(life)); left > 0 {
		return nil, left, nil
	}
	code, err := exitCode(pod)
	if err != nil {
		return nil, 0, err
	}
	return &end{code: code, reason: endReason(code)}, 0, nil
}

func exitCode(pod *corev1.Pod) (int32, error) {
	text, ok := pod.Annotations[AnnotationExitCode]
	if !ok {
		return 0, nil
	}
	code, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("read annotation %s: %w", AnnotationExitCode, err)
	}
	return int32(code), nil
}

// mainContainer is the executor container.
func mainContainer(pod *corev1.Pod) *corev1.Container {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == executorContainer {
			return &pod.Spec.Containers[i]
		}
	}
	return &pod.Spec.Containers[0]
}

// startedAt is when the executor container began to run.
func startedAt(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == mainContainer(pod).Name && c.State.Running != nil {
			return c.State.Running.StartedAt.Time
		}
	}
	return time.Time{}
}

// creating is the status of a pod whose images are on their way.
func creating(pod *corev1.Pod, at metav1.Time) corev1.PodStatus {
	status := pod.Status.DeepCopy()
	status.StartTime = &at
	status.HostIP = "127.0.0.1"
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	status.ContainerStatuses = containers(pod, func(string) corev1.ContainerState { return waiting })
	setReady(status, corev1.ConditionFalse, at)
	return *status
}

func running(pod *corev1.Pod, ip string, at metav1.Time) corev1.PodStatus {
	status := pod.Status.DeepCopy()
	status.Phase = corev1.PodRunning
	status.PodIP = ip
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	started := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}
	status.ContainerStatuses = containers(pod, func(string) corev1.ContainerState { return started })
	setReady(status, corev1.ConditionTrue, at)
	return *status
}

// ended is the status of a pod whose executor container has ended; the containers beside
// it end well.
func ended(pod *corev1.Pod, e end, at metav1.Time) corev1.PodStatus {
	status := pod.Status.DeepCopy()
	status.Phase = corev1.PodSucceeded
	if e.code != 0 {
		status.Phase = corev1.PodFailed
	}
	started := metav1.NewTime(startedAt(pod))
	status.ContainerStatuses = containers(pod, func(name string) corev1.ContainerState {
		own := e
		if name != mainContainer(pod).Name {
			own = end{reason: endReason(0)}
		}
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: own.code, Reason: own.reason, Message: own.message, StartedAt: started, FinishedAt: at,
		}}
	})
	setReady(status, corev1.ConditionFalse, at)
	if e.eviction != "" {
		status.Phase, status.Reason, status.Message = corev1.PodFailed, "Evicted", e.eviction
		setCondition(status, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: at,
			Reason: corev1.PodReasonTerminationByKubelet, Message: e.eviction,
		})
	}
	return *status
}

// endReason cannot know who killed a container, and takes the reason that
// interests a scheduler.
func endReason(code int32) string {
	switch code {
	case 0:
		return "Completed"
	case exitKilled:
		return "OOMKilled"
	default:
		return "Error"
	}
}

func containers(pod *corev1.Pod, state func(name string) corev1.ContainerState) []corev1.ContainerStatus {
	statuses := make([]corev1.ContainerStatus, 0, len(pod.Spec.Containers))
	for _, c := range pod.Spec.Containers {
		s := state(c.Name)
		status := corev1.ContainerStatus{Name: c.Name, Image: c.Image, State: s, Ready: s.Running != nil, Started: new(s.Running != nil)}
		if s.Waiting == nil {
			status.ContainerID = "pretended://" + string(pod.UID) + "/" + c.Name
			status.ImageID = c.Image
		}
		statuses = append(statuses, status)
	}
	return statuses
}

func setReady(status *corev1.PodStatus, ready corev1.ConditionStatus, at metav1.Time) {
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		setCondition(status, corev1.PodCondition{Type: kind, Status: ready, LastTransitionTime: at})
	}
	setCondition(status, corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: at})
}

func setCondition(status *corev1.PodStatus, condition corev1.PodCondition) {
	for i := range status.Conditions {
		if status.Conditions[i].Type == condition.Type {
			if status.Conditions[i].Status != condition.Status {
				status.Conditions[i] = condition
			}
			return
		}
	}
	status.Conditions = append(status.Conditions, condition)
}

// Networks of pods, as their first two octets.
var (
	noNetwork = [2]byte{198, 18} // RFC 2544: for benchmarks, never routed
	loopback  = [2]byte{127, 100}
)

// address is made of the pod's UID.
func address(pod *corev1.Pod, network [2]byte) string {
	hash := fnv.New32a()
	hash.Write([]byte(pod.UID))
	sum := hash.Sum32()
	return netip.AddrFrom4([4]byte{network[0], network[1], byte(sum >> 8), byte(sum)}).String()
}

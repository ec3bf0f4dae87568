// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A Lifecycle says what the simulated kubelet does with a pod, see [Server.StartKubelet]. The
// durations are of the clock of the server, virtual in a bubble. With the zero Lifecycle a pod
// is scheduled, starts, and runs until it is deleted.
type Lifecycle struct {
	RunFor       time.Duration // the run of the containers, 0: until the pod is deleted
	ExitCode     int32         // of the first container after RunFor; the others end with 0
	PullFailsFor time.Duration // the time in which the image cannot be pulled
	EvictAfter   time.Duration // the run until the pod is evicted, 0: never
	DeleteAfter  time.Duration // the run until another client deletes the pod, 0: never
}

// The annotations of a pod with its Lifecycle.
const (
	runForAnnotation       = "watchtest/run-for"
	exitCodeAnnotation     = "watchtest/exit-code"
	pullFailsForAnnotation = "watchtest/pull-fails-for"
	evictAfterAnnotation   = "watchtest/evict-after"
	deleteAfterAnnotation  = "watchtest/delete-after"
)

// LifecycleOf reads the Lifecycle in the annotations of a pod:
//
//	watchtest/run-for: 90s
//	watchtest/exit-code: "137"
//	watchtest/pull-fails-for: 10s
//	watchtest/evict-after: 5m
//	watchtest/delete-after: 5m
//
// It panics if an annotation is not a number or a duration, or is negative.
func LifecycleOf(pod *corev1.Pod) Lifecycle {
	return Lifecycle{
		RunFor:       durationIn(pod, runForAnnotation),
		ExitCode:     exitCodeIn(pod),
		PullFailsFor: durationIn(pod, pullFailsForAnnotation),
		EvictAfter:   durationIn(pod, evictAfterAnnotation),
		DeleteAfter:  durationIn(pod, deleteAfterAnnotation),
	}
}

// Annotations returns the annotations from which [LifecycleOf] reads l, nil for the zero
// Lifecycle.
func (l Lifecycle) Annotations() map[string]string {
	if l == (Lifecycle{}) {
		return nil
	}
	annotations := map[string]string{}
	for key, d := range map[string]time.Duration{
		runForAnnotation:       l.RunFor,
		pullFailsForAnnotation: l.PullFailsFor,
		evictAfterAnnotation:   l.EvictAfter,
		deleteAfterAnnotation:  l.DeleteAfter,
	} {
		if d != 0 {
			annotations[key] = d.String()
		}
	}
	if l.ExitCode != 0 {
		annotations[exitCodeAnnotation] = strconv.Itoa(int(l.ExitCode))
	}
	return annotations
}

func durationIn(pod *corev1.Pod, key string) time.Duration {
	text, ok := pod.Annotations[key]
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		panic(fmt.Sprintf("watchtest: pod %s: annotation %s: %q is no duration from 0 up, such as 90s", keyOf(pod), key, text))
	}
	return d
}

func exitCodeIn(pod *corev1.Pod) int32 {
	text, ok := pod.Annotations[exitCodeAnnotation]
	if !ok {
		return 0
	}
	code, err := strconv.ParseInt(text, 10, 32)
	if err != nil || code < 0 {
		panic(fmt.Sprintf("watchtest: pod %s: annotation %s: %q is no number from 0 up", keyOf(pod), exitCodeAnnotation, text))
	}
	return int32(code)
}

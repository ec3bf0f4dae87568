// SPDX-License-Identifier: Apache-2.0

package application

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A sighting is an event of a pod, and the time at which it was received.
type sighting struct {
	resourceVersion string
	at              time.Time
}

// A recorder is a store that notes when the source delivers an event.
type recorder struct {
	mu     sync.Mutex
	events map[string][]sighting // by the name of the pod
}

func (r *recorder) UpdatePod(pod *corev1.Pod) { r.note(pod) }
func (r *recorder) DeletePod(pod *corev1.Pod) { r.note(pod) }

func (r *recorder) ReplaceSnapshot(pods []*corev1.Pod) {
	for _, pod := range pods {
		r.note(pod)
	}
}

func (r *recorder) note(pod *corev1.Pod) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events[pod.Name] = append(r.events[pod.Name], sighting{pod.ResourceVersion, now})
}

func (r *recorder) copy() map[string][]sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := map[string][]sighting{}
	for pod, sightings := range r.events {
		events[pod] = append([]sighting(nil), sightings...)
	}
	return events
}

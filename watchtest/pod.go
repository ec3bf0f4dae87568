// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Create stores a pod in the given state, in any phase, and returns it as
// stored: with a resource version and, unless it has them, the namespace
// "default", a UID, a time of creation and the phase Pending. It panics if the
// pod has no name, or if the name is taken.
func (s *Server) Create(pod *corev1.Pod) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod = pod.DeepCopy()
	if pod.Namespace == "" {
		pod.Namespace = metav1.NamespaceDefault
	}
	if pod.Name == "" {
		panic("watchtest: create a pod without a name")
	}
	if _, exists := s.store.pods[keyOf(pod)]; exists {
		panic("watchtest: create a pod that exists: " + keyOf(pod))
	}
	return s.insert(pod).DeepCopy()
}

// Update changes a pod in any way but its name, and returns it as stored. The
// resource version rises even if nothing else changes. It panics if there is
// no such pod. The function must not call the server.
func (s *Server) Update(namespace, name string, change func(*corev1.Pod)) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.existing("update", namespace, name)
	pod := old.DeepCopy()
	change(pod)
	pod.Namespace, pod.Name, pod.UID = old.Namespace, old.Name, old.UID
	return s.commit(s.store.put(pod)).DeepCopy()
}

// Delete removes a pod at once, whatever grace it has or finalizers, and
// returns it as watchers receive it. It panics if there is no such pod.
func (s *Server) Delete(namespace, name string) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.existing("delete", namespace, name)
	return s.commit(s.store.remove(keyOf(old))).DeepCopy()
}

// existing returns the pod that a test names.
func (s *Server) existing(verb, namespace, name string) *corev1.Pod {
	pod, exists := s.store.pods[key(namespace, name)]
	if !exists {
		panic(fmt.Sprintf("watchtest: %s a pod that does not exist: %s", verb, key(namespace, name)))
	}
	return pod
}

// insert stores a new pod with what every pod has. The caller holds mu.
func (s *Server) insert(pod *corev1.Pod) *corev1.Pod {
	s.created++
	if pod.UID == "" {
		pod.UID = types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012x", s.created))
	}
	if pod.CreationTimestamp.IsZero() {
		pod.CreationTimestamp = metav1.NewTime(time.Now())
	}
	if pod.Status.Phase == "" {
		pod.Status.Phase = corev1.PodPending
	}
	return s.commit(s.store.put(pod))
}

// commit tells the watchers of a change and returns the pod it is about, as
// they see it at the most. The caller holds mu.
func (s *Server) commit(c *change) *corev1.Pod {
	s.publish(c)
	if c.after != nil {
		return c.after
	}
	return c.gone()
}

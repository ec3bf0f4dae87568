// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Create stores a pod in the given state, in any phase, and returns the stored pod. It sets
// the resource version and, if they are missing, the namespace "default", a UID, a creation
// timestamp and the phase Pending. It panics if the pod has no name, or if a pod of that
// name exists.
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

// Update changes a pod and returns the stored pod. The function can change everything except
// the namespace, the name and the UID. The resource version increases even if the function
// changes nothing. Update panics if the pod does not exist. The function must not call the
// server.
func (s *Server) Update(namespace, name string, change func(*corev1.Pod)) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.existing("update", namespace, name)
	pod := old.DeepCopy()
	change(pod)
	pod.Namespace, pod.Name, pod.UID = old.Namespace, old.Name, old.UID
	return s.commit(s.store.put(pod)).DeepCopy()
}

// Delete removes a pod at once and returns it as watchers receive it. It ignores the grace
// period and finalizers. It panics if the pod does not exist.
func (s *Server) Delete(namespace, name string) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.existing("delete", namespace, name)
	return s.commit(s.store.remove(keyOf(old))).DeepCopy()
}

// existing returns the pod with a name that the test has passed. It panics if the pod does
// not exist.
func (s *Server) existing(verb, namespace, name string) *corev1.Pod {
	pod, exists := s.store.pods[key(namespace, name)]
	if !exists {
		panic(fmt.Sprintf("watchtest: %s a pod that does not exist: %s", verb, key(namespace, name)))
	}
	return pod
}

// insert stores a new pod and sets the fields that every pod has. The caller holds mu.
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

// commit sends a change to the watchers. It returns the pod after the change or, for a
// deletion, the pod that a DELETED event contains. The caller holds mu.
func (s *Server) commit(c *change) *corev1.Pod {
	if c.after != nil {
		c.after.Size() // makes each Quantity cache its text now, and not while readers share the pod
	}
	s.publish(c)
	if s.kubelet != nil {
		s.kubelet.observe(c)
	}
	if c.after != nil {
		return c.after
	}
	return c.deletedPod()
}

// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"hash/fnv"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Kind is a kind of pod that real clusters run. Its pods differ as those of one kind do:
// in names, addresses, times, identifiers and some values, also in their lengths. A part of
// them is pending without a node, and a part has succeeded.
type Kind struct {
	Name  string
	Title string

	pod func(i, updates int) *corev1.Pod
}

// Pod returns the i-th pod of the kind after a number of updates. Each update changes something
// else than the resource version, which is empty.
func (k Kind) Pod(i, updates int) *corev1.Pod { return k.pod(i, updates) }

// The scheduler that starts the pods of all kinds labels each with its own name and with the
// id of its task.
const (
	KindLabel     = "jobs.example.com/scheduler"
	KindScheduler = "nightly"
	KindIDLabel   = "jobs.example.com/task"

	// KindContainer is the name of the main container of a pod with several containers.
	KindContainer = "main"
)

// Kinds are the kinds and all of them mixed.
var Kinds = func() []Kind {
	kinds := []Kind{
		newKind("driver", "Spark driver", driver),
		newKind("ray-worker", "Ray worker", rayWorker),
		newKind("ten-containers", "job with ten containers", tenContainers),
		newKind("sixty-variables", "60 environment variables that all differ", sixtyVariables),
	}
	mixed := func(i, updates int) *corev1.Pod {
		return kinds[i%len(kinds)].Pod(i/len(kinds), updates)
	}
	return append(kinds, Kind{Name: "mixed", Title: "all of these mixed", pod: mixed})
}()

// newKind makes a kind of a function that returns the metadata and the spec of a pod.
func newKind(name, title string, describe func(v *variation) *corev1.Pod) Kind {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	seed := hash.Sum64()
	return Kind{Name: name, Title: title, pod: func(i, updates int) *corev1.Pod {
		v := newVariation(seed, i)
		pod := describe(v)
		pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
		pod.Namespace, pod.UID = ExecutorNamespace, v.uid()
		pod.CreationTimestamp = v.created
		pod.Labels[KindLabel], pod.Labels[KindIDLabel] = KindScheduler, v.task
		creator := fieldSet(pod) // before the cluster adds to the pod
		newLifecycle(v, pod).advance(pod, updates)
		pod.ManagedFields = []metav1.ManagedFieldsEntry{
			managedBy(v.creator, "", v.created, creator),
			managedBy(statusManager(pod), "status", lastTransition(pod), statusFieldSet(pod)),
		}
		return pod
	}}
}

// statusManager returns the program that wrote the status.
func statusManager(pod *corev1.Pod) string {
	if pod.Spec.NodeName == "" {
		return "kube-scheduler"
	}
	return "kubelet"
}

// KindLabels returns the labels that a selector of the pods needs.
func KindLabels() map[string]string { return maps.Clone(kindLabels) }

var kindLabels = map[string]string{KindLabel: KindScheduler}

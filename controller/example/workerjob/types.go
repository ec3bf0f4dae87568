// SPDX-License-Identifier: Apache-2.0

// Package workerjob is an operator for a small resource: a WorkerJob runs each of N workers once,
// in a pod, and counts how they end. It shows how an operator uses the module controller.
package workerjob

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of a WorkerJob.
var GroupVersion = schema.GroupVersion{Group: "batch.example.com", Version: "v1"}

// Kind is that of a WorkerJob.
var Kind = GroupVersion.WithKind("WorkerJob")

// AddToScheme adds the types of this package to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &WorkerJob{}, &WorkerJobList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// A WorkerJob runs each of its workers once.
type WorkerJob struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   Spec   `json:"spec"`
	Status Status `json:"status,omitzero"`
}

// Spec is the wanted state of a WorkerJob. It cannot be changed.
type Spec struct {
	// Workers is the number of workers. Their indexes are 0 to Workers-1.
	Workers int32 `json:"workers"`
	// Template is that of the workers' pods. The first container is the worker. The restart policy is
	// always Never: a worker runs once.
	Template corev1.PodTemplateSpec `json:"template"`
}

// Status is the observed state of a WorkerJob.
type Status struct {
	Pending   int32 `json:"pending"`
	Running   int32 `json:"running"`
	Succeeded int32 `json:"succeeded"`
	Failed    int32 `json:"failed"`

	// Ended has the indexes of the workers whose end is counted in Succeeded or Failed, for example
	// "0-799,805". It is written together with the counts, so each end is counted once.
	Ended string `json:"ended,omitempty"`
	// ExitCodes counts the ended workers by exit code. Workers whose container has not run have
	// the key "none".
	ExitCodes map[string]int32 `json:"exitCodes,omitempty"`
	// Reasons counts the failed workers by reason, for example OOMKilled or Evicted.
	Reasons map[string]int32 `json:"reasons,omitempty"`

	// Complete is true when all workers have ended.
	Complete bool `json:"complete"`
}

// A WorkerJobList is a list of WorkerJobs.
type WorkerJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []WorkerJob `json:"items"`
}

// DeepCopyObject implements [runtime.Object].
func (j *WorkerJob) DeepCopyObject() runtime.Object {
	out := *j
	out.ObjectMeta = *j.ObjectMeta.DeepCopy()
	out.Spec.Template = *j.Spec.Template.DeepCopy()
	out.Status = j.Status.deepCopy()
	return &out
}

// DeepCopyObject implements [runtime.Object].
func (l *WorkerJobList) DeepCopyObject() runtime.Object {
	out := *l
	out.ListMeta = *l.ListMeta.DeepCopy()
	out.Items = make([]WorkerJob, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopyObject().(*WorkerJob)
	}
	return &out
}

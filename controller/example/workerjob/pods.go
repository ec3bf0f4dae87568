// SPDX-License-Identifier: Apache-2.0

package workerjob

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/executorpods/watchsource"
)

const (
	// LabelJob has the name of the job, on each pod of a worker.
	LabelJob = "batch.example.com/job"
	// LabelIndex has the index of the worker.
	LabelIndex = "batch.example.com/index"
	// LabelUncounted is on a pod as long as it has the finalizer. Unlike a finalizer, a label can be
	// read without decoding the pod.
	LabelUncounted = "batch.example.com/uncounted"

	// Finalizer keeps a pod until its end is in the status of the job, and a job until its pods
	// are gone: without the job no process would remove the finalizers of the pods.
	Finalizer = "batch.example.com/count"
)

// newPod returns the pod of a worker. The name makes it impossible that a worker has two pods.
func newPod(job *WorkerJob, index int) *corev1.Pod {
	template := job.Spec.Template.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.Name, pod.GenerateName = job.Namespace, fmt.Sprintf("%s-%d", job.Name, index), ""
	pod.Labels = with(pod.Labels, map[string]string{LabelJob: job.Name, LabelIndex: strconv.Itoa(index), LabelUncounted: "true"})
	pod.Finalizers = append(slices.Clone(pod.Finalizers), Finalizer)
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, Kind)}
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	return pod
}

func with(labels, more map[string]string) map[string]string {
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, more)
	return all
}

// releasePatch removes the finalizer of this package from a pod, and leaves those of others. The
// UID makes the API server refuse it for another pod of the same name.
func releasePatch(uid types.UID) client.Patch {
	return client.RawPatch(types.StrategicMergePatchType, fmt.Appendf(nil,
		`{"metadata":{"uid":%q,"labels":{%q:null},"$deleteFromPrimitiveList/finalizers":[%q]}}`, uid, LabelUncounted, Finalizer))
}

// mustRelease reports whether a pod has the finalizer and needs it no longer.
func mustRelease(executor watchsource.Executor, ended *indexes) bool {
	index, ok := indexOf(executor)
	_, uncounted := executor.Label(LabelUncounted)
	return uncounted && ok && ended.has(index)
}

// missing returns the indexes that neither have a pod in the view nor have ended.
func missing(snapshot watchsource.Snapshot, ended *indexes) []int {
	present := make([]bool, len(ended.contains))
	for executor := range snapshot.All() {
		if index, ok := indexOf(executor); ok && ended.inRange(index) {
			present[index] = true
		}
	}
	var all []int
	for index := range present {
		if !present[index] && !ended.has(index) {
			all = append(all, index)
		}
	}
	return all
}

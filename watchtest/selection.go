// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// selection matches the pods that a request selects.
type selection struct {
	namespace string // empty for all
	labels    labels.Selector
	fields    fields.Selector
	shards    []shardRange // none for all
}

func newSelection(namespace string, opts metav1.ListOptions) (selection, *apierrors.StatusError) {
	byLabel, err := labels.Parse(opts.LabelSelector)
	if err != nil {
		return selection{}, apierrors.NewBadRequest(err.Error())
	}
	byField, err := fields.ParseSelector(opts.FieldSelector)
	if err != nil {
		return selection{}, apierrors.NewBadRequest(err.Error())
	}
	known := selectableFields(&corev1.Pod{})
	for _, requirement := range byField.Requirements() {
		if !known.Has(requirement.Field) {
			return selection{}, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", requirement.Field))
		}
	}
	return selection{namespace: namespace, labels: byLabel, fields: byField}, nil
}

// everything reports whether the selection matches every pod of the namespace.
func (s selection) everything() bool {
	return s.labels.Empty() && s.fields.Empty() && s.shards == nil
}

func (s selection) matches(pod *corev1.Pod) bool {
	return (s.namespace == "" || s.namespace == pod.Namespace) &&
		s.labels.Matches(labels.Set(pod.Labels)) &&
		(s.fields.Empty() || s.fields.Matches(selectableFields(pod))) &&
		inShards(s.shards, pod)
}

func selectableFields(pod *corev1.Pod) fields.Set {
	return fields.Set{
		"metadata.name":            pod.Name,
		"metadata.namespace":       pod.Namespace,
		"spec.nodeName":            pod.Spec.NodeName,
		"spec.restartPolicy":       string(pod.Spec.RestartPolicy),
		"spec.schedulerName":       pod.Spec.SchedulerName,
		"spec.serviceAccountName":  pod.Spec.ServiceAccountName,
		"spec.hostNetwork":         strconv.FormatBool(pod.Spec.HostNetwork),
		"status.phase":             string(pod.Status.Phase),
		"status.podIP":             pod.Status.PodIP,
		"status.nominatedNodeName": pod.Status.NominatedNodeName,
	}
}

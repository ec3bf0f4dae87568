// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/executorpods/watchsource"
)

var podKind = corev1.SchemeGroupVersion.WithKind("Pod")

// isPod reports whether a Get of obj asks for a pod.
func isPod(obj client.Object) bool {
	switch obj.(type) {
	case *corev1.Pod:
		return true
	case *metav1.PartialObjectMetadata, *unstructured.Unstructured:
		return obj.GetObjectKind().GroupVersionKind() == podKind
	default:
		return false
	}
}

// isPodList reports whether a List of list asks for pods. The kind of a list of metadata may be
// that of its items.
func isPodList(list client.ObjectList) bool {
	switch list.(type) {
	case *corev1.PodList:
		return true
	case *metav1.PartialObjectMetadataList, *unstructured.UnstructuredList:
		kind := list.GetObjectKind().GroupVersionKind()
		return kind == podKind || kind == corev1.SchemeGroupVersion.WithKind("PodList")
	default:
		return false
	}
}

// write writes the pod of an executor to an object that isPod accepts.
func write(executor watchsource.Executor, obj client.Object) error {
	pod, err := executor.Pod()
	if err != nil {
		return err
	}
	pod.SetGroupVersionKind(podKind)
	switch out := obj.(type) {
	case *corev1.Pod:
		*out = *pod
	case *metav1.PartialObjectMetadata:
		*out = metav1.PartialObjectMetadata{TypeMeta: pod.TypeMeta, ObjectMeta: pod.ObjectMeta}
	case *unstructured.Unstructured:
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
		if err != nil {
			return fmt.Errorf("watchsource: convert the pod %s: %w", executor.Name, err)
		}
		out.SetUnstructuredContent(content)
	}
	return nil
}

// writeList writes the pods of executors to a list that isPodList accepts.
func writeList(executors []watchsource.Executor, list client.ObjectList) error {
	items := make([]runtime.Object, 0, len(executors))
	for _, executor := range executors {
		item := newItem(list)
		if err := write(executor, item); err != nil {
			return err
		}
		items = append(items, item)
	}
	return apimeta.SetList(list, items)
}

func newItem(list client.ObjectList) client.Object {
	switch list.(type) {
	case *metav1.PartialObjectMetadataList:
		return &metav1.PartialObjectMetadata{}
	case *unstructured.UnstructuredList:
		return &unstructured.Unstructured{}
	default:
		return &corev1.Pod{}
	}
}

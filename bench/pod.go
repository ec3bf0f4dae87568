// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

const (
	namespace = podtest.ExecutorNamespace
	appID     = podtest.ExecutorApp

	// markerName is the pod whose event says that there are no more updates.
	markerName = "end-of-updates"

	// warmUpMarkerName is the pod whose event says that the warm-up is over.
	warmUpMarkerName = "end-of-warm-up"
)

var podSelector = labels.SelectorFromSet(selectorLabels)

var selectorLabels = labels.Set{
	watchsource.LabelApp:  appID,
	watchsource.LabelRole: watchsource.RoleExecutor,
}

// nthApp returns the id of the k-th application. All ids have the same length.
func nthApp(k int) string {
	if k == 0 {
		return appID
	}
	return fmt.Sprintf("spark-%0*d", len(appID)-len("spark-"), k)
}

// nthMarker returns the name of the marker of the k-th application.
func nthMarker(k int) string {
	if k == 0 {
		return markerName
	}
	return fmt.Sprintf("%s-%d", markerName, k)
}

// warmUpMarker is a pod of the first application.
func warmUpMarker(version int) *corev1.Pod {
	pod := markerPod(version, 0)
	pod.Name, pod.UID = warmUpMarkerName, "8f3a5c1e-0000-4000-8001-000000000000"
	return pod
}

// markerPod ends the updates of the k-th application.
func markerPod(version, k int) *corev1.Pod {
	last := podtest.Executor(899_999, version, true) // its executor id is 999999
	last.Labels[watchsource.LabelApp] = nthApp(k)
	return &corev1.Pod{
		TypeMeta: last.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Name:              nthMarker(k),
			Namespace:         namespace,
			UID:               types.UID(fmt.Sprintf("8f3a5c1e-0000-4000-8000-%012x", 1<<48-1-k)),
			ResourceVersion:   last.ResourceVersion,
			CreationTimestamp: last.CreationTimestamp,
			Labels:            last.Labels,
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: podtest.ExecutorContainer, Image: "spark"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

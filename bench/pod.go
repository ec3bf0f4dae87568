// SPDX-License-Identifier: Apache-2.0

package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/podtest"
)

const (
	namespace = podtest.ExecutorNamespace
	appID     = podtest.ExecutorApp

	// markerName is the pod whose event says that there are no more updates.
	markerName = "end-of-updates"
)

var podSelector = labels.SelectorFromSet(selectorLabels)

var selectorLabels = labels.Set{
	watchsource.LabelApp:  appID,
	watchsource.LabelRole: watchsource.RoleExecutor,
}

// markerPod ends the updates.
func markerPod(version int) *corev1.Pod {
	last := podtest.Executor(899_999, version, true) // its executor id is 999999
	return &corev1.Pod{
		TypeMeta: last.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Name:              markerName,
			Namespace:         namespace,
			UID:               "8f3a5c1e-0000-4000-8000-ffffffffffff",
			ResourceVersion:   last.ResourceVersion,
			CreationTimestamp: last.CreationTimestamp,
			Labels:            last.Labels,
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: podtest.ExecutorContainer, Image: "spark"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

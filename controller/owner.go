// SPDX-License-Identifier: Apache-2.0

package controller

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// ByControllerOf returns a function for [New] that reads the owner of a pod from its controller
// reference, if that names the kind. The version of the kind does not matter. The request has the
// namespace of the pod: write your own function for owners that have no namespace, or that own
// pods through another object.
func ByControllerOf(kind schema.GroupKind) func(pod metav1.Object) (reconcile.Request, bool) {
	return func(pod metav1.Object) (reconcile.Request, bool) {
		controller := metav1.GetControllerOfNoCopy(pod)
		if controller == nil || schema.FromAPIVersionAndKind(controller.APIVersion, controller.Kind).GroupKind() != kind {
			return reconcile.Request{}, false
		}
		return requestFor(pod, controller.Name), true
	}
}

// ByLabel returns a function for [New] that takes the value of a label for the name of the owner.
// The request has the namespace of the pod. A pod without the label, or with an empty value, has
// no owner.
func ByLabel(key string) func(pod metav1.Object) (reconcile.Request, bool) {
	return func(pod metav1.Object) (reconcile.Request, bool) {
		name := pod.GetLabels()[key]
		return requestFor(pod, name), name != ""
	}
}

func requestFor(pod metav1.Object, owner string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: owner}}
}

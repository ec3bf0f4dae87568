// SPDX-License-Identifier: Apache-2.0

// Package podtest builds the pods of the tests. Pod builds a small pod from
// options. Executor builds a pod with all the fields that a pod of Spark has on a
// real cluster. Kinds build pods of other kinds with the fields that they have there.
//
// The package does not import watchsource, so that the packages that
// watchsource imports can use it in their tests.
package podtest

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The application of the pods, and their namespace.
const (
	App       = "app"
	Namespace = "jobs"
)

// ExecutorContainer is the name that Spark gives to the container of an
// executor.
const ExecutorContainer = "spark-kubernetes-executor"

// The labels that Spark gives to its pods.
const (
	labelApp        = "spark-app-selector"
	labelRole       = "spark-role"
	labelExecutorID = "spark-exec-id"
	roleExecutor    = "executor"
)

// Selector selects the executors of App.
const Selector = labelApp + "=" + App + "," + labelRole + "=" + roleExecutor

// Pod returns a pending executor pod of App and applies options to it. Its name
// is exec- and the id.
func Pod(id string, options ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      "exec-" + id,
			Namespace: Namespace,
			Labels:    executorLabels(App, id),
		},
		Spec:   corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, option := range options {
		option(p)
	}
	return p
}

func executorLabels(app, id string) map[string]string {
	return map[string]string{labelApp: app, labelRole: roleExecutor, labelExecutorID: id}
}

// Named sets the namespace and the name.
func Named(namespace, name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Namespace, p.Name = namespace, name }
}

// Of makes a pod an executor of an application in a namespace, with the name that
// Spark gives to it.
func Of(namespace, app string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Namespace, p.Name = namespace, app+"-exec-"+p.Labels[labelExecutorID]
		p.Labels[labelApp] = app
	}
}

// Driver makes a pod the driver of its application. It is not selected as an
// executor.
func Driver(p *corev1.Pod) {
	p.Name = p.Labels[labelApp] + "-driver"
	p.Labels[labelRole] = "driver"
	delete(p.Labels, labelExecutorID)
}

// Runnable gives a pod a container that a real API server accepts.
func Runnable(p *corev1.Pod) {
	id := p.Labels[labelExecutorID]
	p.Spec.TerminationGracePeriodSeconds = new(int64(30))
	p.Spec.Containers = []corev1.Container{{
		Name:  ExecutorContainer,
		Image: "registry.example/spark:4.1.0",
		Args:  []string{"executor"},
		Env: []corev1.EnvVar{
			{Name: "SPARK_EXECUTOR_ID", Value: id},
			{Name: "SPARK_EXECUTOR_POD_IP", ValueFrom: &corev1.EnvVarSource{
				FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"},
			}},
		},
		Ports: []corev1.ContainerPort{{Name: "blockmanager", ContainerPort: 7079, Protocol: corev1.ProtocolTCP}},
	}}
}

// Phase sets the phase.
func Phase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

// Version sets the resource version.
func Version(resourceVersion string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.ResourceVersion = resourceVersion }
}

// UID sets the UID.
func UID(uid string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.UID = types.UID(uid) }
}

// Label sets a label.
func Label(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[key] = value }
}

// Annotation sets an annotation.
func Annotation(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[key] = value
	}
}

// Deleting is an option that sets the deletion timestamp.
func Deleting(p *corev1.Pod) {
	p.DeletionTimestamp = new(metav1.NewTime(time.Unix(1_700_000_000, 0)))
}

// Container adds a container and its state.
func Container(name string, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
}

// Running is the state of a container that runs.
func Running() corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Unix(1_700_000_100, 0))}}
}

// Ended is the state of a container that has ended.
func Ended(code int32, reason string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason,
		StartedAt:  metav1.NewTime(time.Unix(1_700_000_100, 0)),
		FinishedAt: metav1.NewTime(time.Unix(1_700_000_200, 0)),
	}}
}

// Waiting is the state of a container that has not started.
func Waiting(reason string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: reason + " it is"}}
}

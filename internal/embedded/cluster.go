// SPDX-License-Identifier: Apache-2.0

// Package embedded is a Kubernetes cluster for demonstrations: the API server of
// watchtest, and a simulated kubelet that binds pods to nodes, pulls their images, runs
// and ends them. It changes a pod only in the ways that a watch of a real cluster shows.
package embedded

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Troubles contains the external faults of pods, by the executor id in their label.
type Troubles map[string]Trouble

// Trouble contains the external faults of one pod. A zero field means no fault.
type Trouble struct {
	PullFailsFor time.Duration // time in which the image cannot be pulled
	EvictAfter   time.Duration // after the start of the container
	DeleteAfter  time.Duration // by another client than the scheduler, after the start of the container
}

// Cluster is an API server with one kubelet. Use New to create one.
type Cluster struct {
	client   kubernetes.Interface
	troubles Troubles

	mu    sync.Mutex
	bound int // guarded by mu
}

// New returns a cluster with an API server. The kubelet starts with Run.
func New(server *watchtest.Server, troubles Troubles) *Cluster {
	return &Cluster{client: server.Client(), troubles: troubles}
}

// Client returns the client for the scheduler.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Run runs the kubelet until ctx ends. It returns when all pods have stopped.
func (c *Cluster) Run(ctx context.Context) {
	kubelet := kubelet{cluster: c, runs: map[types.UID]*podRun{}}
	defer kubelet.running.Wait()
	for ctx.Err() == nil {
		pods, err := c.client.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		kubelet.follow(ctx, pods) // until the watch ends; the next watch begins with all pods
	}
}

// change modifies the status of a pod. It does nothing if the pod is gone.
func (c *Cluster) change(ctx context.Context, pod *corev1.Pod, modify func(*corev1.Pod)) {
	pods := c.client.CoreV1().Pods(pod.Namespace)
	write(ctx, pods, pod, modify, pods.UpdateStatus)
}

// bind sets the node of a pod. It does nothing if the pod is gone.
func (c *Cluster) bind(ctx context.Context, pod *corev1.Pod, node string) {
	pods := c.client.CoreV1().Pods(pod.Namespace)
	write(ctx, pods, pod, func(pod *corev1.Pod) { pod.Spec.NodeName = node }, pods.Update)
}

type updateFunc func(context.Context, *corev1.Pod, metav1.UpdateOptions) (*corev1.Pod, error)

// write reads, modifies and writes a pod, and repeats this after a conflict.
func write(ctx context.Context, pods typedcorev1.PodInterface, pod *corev1.Pod, modify func(*corev1.Pod), update updateFunc) {
	for {
		current, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil || current.UID != pod.UID {
			return
		}
		modify(current)
		if _, err = update(ctx, current, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			return
		}
	}
}

// remove deletes a pod that has ended, without grace, as its kubelet does.
func (c *Cluster) remove(ctx context.Context, pod *corev1.Pod) {
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
	_ = c.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, now) // the pod may be gone already
}

// nextNode distributes the pods over three nodes. It also returns the number of the pod.
func (c *Cluster) nextNode() (node string, ordinal int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bound++
	return fmt.Sprintf("node-%d", (c.bound-1)%3+1), c.bound
}

func (c *Cluster) trouble(pod *corev1.Pod) Trouble {
	return c.troubles[pod.Labels[watchsource.LabelExecutorID]]
}

// podOf returns the pod of an event, nil for an event without one.
func podOf(event watch.Event) *corev1.Pod {
	pod, _ := event.Object.(*corev1.Pod)
	return pod
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

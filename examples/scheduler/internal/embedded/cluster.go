// SPDX-License-Identifier: Apache-2.0

// Package embedded is a Kubernetes cluster for demonstrations: client-go's fake
// clientset in the place of the API server, and a simulated kubelet that binds
// pods to nodes, pulls their images, runs and ends them. It does with a pod what
// a real cluster shows to somebody who watches, and nothing else.
package embedded

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
)

// Troubles are what befalls pods, by the executor id on their label.
type Troubles map[string]Trouble

// Trouble is what befalls one pod from outside. Zero fields do nothing.
type Trouble struct {
	PullFailsFor time.Duration // the image cannot be pulled for so long
	EvictAfter   time.Duration // after the start of the container
	DeleteAfter  time.Duration // by somebody who is not the scheduler, after the start of the container
}

// Cluster is an API server with one kubelet. Make one with New.
type Cluster struct {
	client   *fake.Clientset
	troubles Troubles

	mu      sync.Mutex // held to change a pod: read it, modify it, write it
	created int
	bound   int
}

// New returns a cluster without pods. Nothing happens in it before Run.
func New(troubles Troubles) *Cluster {
	c := &Cluster{client: fake.NewClientset(), troubles: troubles}
	c.client.PrependReactor("create", "pods", c.admit)
	c.client.PrependReactor("delete", "pods", c.terminate)
	return c
}

// Client returns the client by which the scheduler reaches the cluster.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Run lets pods live until ctx ends, and returns when nothing runs any more.
func (c *Cluster) Run(ctx context.Context) {
	pods, err := c.client.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		panic(fmt.Sprintf("the fake clientset refuses a watch: %v", err))
	}
	defer pods.Stop()
	kubelet := kubelet{cluster: c, lives: map[types.UID]*life{}}
	defer kubelet.running.Wait()
	for {
		select {
		case event := <-pods.ResultChan():
			kubelet.handle(ctx, event)
		case <-ctx.Done():
			return
		}
	}
}

// admit gives a new pod what the API server gives it. The fake clientset then
// stores it.
func (c *Cluster) admit(action clienttesting.Action) (handled bool, _ runtime.Object, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.created++
	pod := action.(clienttesting.CreateAction).GetObject().(*corev1.Pod)
	pod.UID = types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", c.created))
	pod.CreationTimestamp = metav1.Now()
	pod.Status.Phase = corev1.PodPending
	return false, nil, nil
}

// terminate makes the deletion of a live pod a graceful one: it only asks the
// kubelet to end the pod, which then goes. The fake clientset on its own would
// take it away at once, as is right for one that has ended.
func (c *Cluster) terminate(action clienttesting.Action) (handled bool, _ runtime.Object, _ error) {
	gracefully := false
	err := c.change(action.GetNamespace(), action.(clienttesting.DeleteAction).GetName(), func(pod *corev1.Pod) {
		gracefully = !ended(pod)
		if gracefully && pod.DeletionTimestamp == nil {
			pod.DeletionTimestamp = new(metav1.Now())
		}
	})
	return gracefully, nil, err
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

var podsResource = corev1.SchemeGroupVersion.WithResource("pods")

// change modifies a pod. It goes past the client, straight to what the client
// has for a storage: reactors are called with the client locked, and the
// storage knows no resource versions by which it could refuse a lost update.
func (c *Cluster) change(namespace, name string, modify func(*corev1.Pod)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stored, err := c.client.Tracker().Get(podsResource, namespace, name)
	if err != nil {
		return err
	}
	pod := stored.(*corev1.Pod).DeepCopy()
	modify(pod)
	if equality.Semantic.DeepEqual(stored, pod) {
		return nil // no event, as from a real API server
	}
	return c.client.Tracker().Update(podsResource, pod, namespace)
}

// remove takes a pod out of the storage.
func (c *Cluster) remove(pod *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.client.Tracker().Delete(podsResource, pod.Namespace, pod.Name) // gone already is as good
}

// nextNode spreads the pods over three nodes.
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

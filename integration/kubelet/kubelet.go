// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// workers is how many pods are attended at a time: enough to keep one API
// server busy.
const workers = 4

// A Kubelet is one pretended node.
type Kubelet struct {
	Client kubernetes.Interface
	// Node is the node's name. Pods bound to another are left alone.
	Node string
	// Namespace is the one whose pods the node takes; empty for all.
	Namespace string
	// Startup is how long a container takes from ContainerCreating to Running.
	Startup time.Duration
	// Runtime runs the executor containers. If it is nil, they seem to run.
	Runtime *Runtime
	// Wrote is called after each status that the API server has accepted, with the pod
	// in its answer. It may be nil.
	Wrote func(*corev1.Pod)
}

// Run simulates the node until ctx ends, then waits for changes in progress and returns
// nil.
func (k *Kubelet) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(k.Client, 0, informers.WithNamespace(k.Namespace))
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]())
	pods := factory.Core().V1().Pods()
	if _, err := pods.Informer().AddEventHandler(k.enqueueInto(queue)); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), pods.Informer().HasSynced) {
		return nil
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(func() { k.work(ctx, queue, pods.Lister()) })
	}
	<-ctx.Done()
	queue.ShutDown()
	running.Wait()
	if k.Runtime != nil {
		k.Runtime.stop()
	}
	return nil
}

// enqueueInto does not enqueue a pod that is gone, because nothing can be written of it.
func (k *Kubelet) enqueueInto(queue workqueue.TypedInterface[cache.ObjectName]) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { queue.Add(cache.MetaObjectToName(obj.(*corev1.Pod))) },
		UpdateFunc: func(_, obj any) { queue.Add(cache.MetaObjectToName(obj.(*corev1.Pod))) },
		DeleteFunc: k.killRemains,
	}
}

// killRemains ends the process of a pod that was deleted by force.
func (k *Kubelet) killRemains(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	if pod, ok := obj.(*corev1.Pod); ok && k.Runtime != nil {
		_ = k.Runtime.Signal(pod.UID, syscall.SIGKILL) // an error says that it has no process
	}
}

func (k *Kubelet) work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[cache.ObjectName], pods corelisters.PodLister) {
	for {
		name, shutdown := queue.Get()
		if shutdown {
			return
		}
		again, err := k.visit(ctx, pods, name, func() { queue.Add(name) })
		switch {
		case err == nil:
			queue.Forget(name)
			if again > 0 {
				queue.AddAfter(name, again)
			}
		case !outdated(err) && ctx.Err() == nil:
			slog.Warn("attend pod", "pod", name, "error", err)
			fallthrough
		default:
			queue.AddRateLimited(name)
		}
		queue.Done(name)
	}
}

// outdated says that an attempt was made on an old sight of the pod; the newer
// one is on its way.
func outdated(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}

// visit attends the pod with a name. The function wake causes another visit.
func (k *Kubelet) visit(ctx context.Context, pods corelisters.PodLister, name cache.ObjectName, wake func()) (again time.Duration, err error) {
	pod, err := pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return k.attend(ctx, pod, wake)
}

// attend makes the next change that the pod needs, and returns after which time to look
// again even if nothing has changed. The written status returns as an event, which causes
// the next step.
func (k *Kubelet) attend(ctx context.Context, pod *corev1.Pod, wake func()) (again time.Duration, err error) {
	switch {
	case pod.Spec.NodeName == "":
		return 0, k.bind(ctx, pod)
	case pod.Spec.NodeName != k.Node:
		return 0, nil
	case pod.DeletionTimestamp != nil:
		return k.remove(ctx, pod)
	case pod.Status.Phase == corev1.PodPending && pod.Status.StartTime == nil:
		return 0, k.write(ctx, pod, creating(pod, now()))
	case pod.Status.Phase == corev1.PodPending:
		if left := time.Until(pod.Status.StartTime.Add(k.Startup)); left > 0 {
			return left, nil
		}
		return 0, k.run(ctx, pod, wake)
	case pod.Status.Phase == corev1.PodRunning:
		return k.finish(ctx, pod)
	default:
		return 0, nil
	}
}

// now has the resolution of the timestamps in the API.
func now() metav1.Time { return metav1.Now().Rfc3339Copy() }

func (k *Kubelet) bind(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0 || pod.Spec.SchedulerName != corev1.DefaultSchedulerName {
		return nil
	}
	err := k.Client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: k.Node},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

func (k *Kubelet) run(ctx context.Context, pod *corev1.Pod, wake func()) error {
	network := noNetwork
	if k.Runtime != nil {
		network = loopback
	}
	status := running(pod, address(pod, network), now())
	if k.Runtime != nil {
		addressed := pod.DeepCopy() // the container may read the address
		addressed.Status = status
		k.Runtime.start(addressed, mainContainer(addressed), wake)
	}
	err := k.write(ctx, pod, status)
	if apierrors.IsNotFound(err) && k.Runtime != nil {
		_ = k.Runtime.Signal(pod.UID, syscall.SIGKILL) // the pod was deleted by force meanwhile
	}
	return err
}

// finish writes the end of the executor container if it has ended.
func (k *Kubelet) finish(ctx context.Context, pod *corev1.Pod) (again time.Duration, err error) {
	var e *end
	if k.Runtime != nil {
		e = k.Runtime.end(pod.UID)
	} else {
		e, again, err = annotatedEnd(pod)
	}
	if e == nil || err != nil {
		return again, err
	}
	return 0, k.write(ctx, pod, ended(pod, *e, now()))
}

// remove stops what runs, shows how it ended, and then lets the pod go, in the
// order that a kubelet keeps.
func (k *Kubelet) remove(ctx context.Context, pod *corev1.Pod) (again time.Duration, err error) {
	e := &end{code: exitTerminated, reason: "Error"}
	if k.Runtime != nil {
		left := time.Until(pod.DeletionTimestamp.Time)
		if k.Runtime.terminate(pod.UID, left <= 0) {
			return max(left, 0), nil
		}
		e = k.Runtime.end(pod.UID)
	}
	if pod.Status.Phase == corev1.PodRunning {
		if err := k.write(ctx, pod, ended(pod, *e, now())); err != nil {
			return 0, err
		}
	}
	err = k.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64(0)),
		Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("confirm deletion: %w", err)
	}
	return 0, nil
}

// write relies on the resource version of pod: an outdated sight is refused.
func (k *Kubelet) write(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	next := pod.DeepCopy()
	next.Status = status
	answer, err := k.Client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("write status %s: %w", status.Phase, err)
	}
	if k.Wrote != nil {
		k.Wrote(answer)
	}
	return nil
}

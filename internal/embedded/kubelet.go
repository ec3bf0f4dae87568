// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// The annotations of a pod that tell the simulated kubelet how its container behaves.
const (
	RunForAnnotation   = "watchsource.example/run-for"   // a Go duration; absent: until the pod is deleted
	ExitCodeAnnotation = "watchsource.example/exit-code" // a decimal number; absent: 0
)

// The durations of the simulated steps. A real cluster takes longer.
const (
	bindTime      = 40 * time.Millisecond
	pullTime      = 260 * time.Millisecond
	stagger       = 53 * time.Millisecond // makes five pods in a row act at different times
	firstBackOff  = 350 * time.Millisecond
	terminateTime = 300 * time.Millisecond
)

// kubelet runs the pods of all nodes, each in a goroutine.
type kubelet struct {
	cluster *Cluster
	running sync.WaitGroup
	runs    map[types.UID]*podRun
}

// podRun simulates one pod from its creation to its deletion.
type podRun struct {
	cluster *Cluster
	pod     *corev1.Pod   // the state at its creation
	stop    chan struct{} // closed when the pod is being deleted
	cancel  func()        // ends the goroutine at once
}

// follow handles the events of a watch until it ends or ctx does.
func (k *kubelet) follow(ctx context.Context, pods watch.Interface) {
	defer pods.Stop()
	for {
		select {
		case event, ok := <-pods.ResultChan():
			if !ok {
				return
			}
			k.handle(ctx, event)
		case <-ctx.Done():
			return
		}
	}
}

func (k *kubelet) handle(ctx context.Context, event watch.Event) {
	pod := podOf(event)
	if pod == nil {
		return
	}
	switch known := k.runs[pod.UID]; {
	case known == nil && event.Type != watch.Deleted && !ended(pod):
		k.start(ctx, pod)
	case known == nil:
	case event.Type == watch.Deleted:
		known.cancel()
		delete(k.runs, pod.UID)
	case pod.DeletionTimestamp != nil:
		known.terminate()
	}
}

func (k *kubelet) start(ctx context.Context, pod *corev1.Pod) {
	ctx, cancel := context.WithCancel(ctx)
	r := &podRun{cluster: k.cluster, pod: pod, stop: make(chan struct{}), cancel: cancel}
	k.runs[pod.UID] = r
	k.running.Go(func() {
		defer cancel()
		r.simulate(ctx)
	})
}

// terminate starts the deletion of the pod. Only the goroutine of handle calls it.
func (r *podRun) terminate() {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
}

// simulate takes the pod through all steps. Each step returns false if it was interrupted by
// the deletion of the pod or the end of ctx.
func (r *podRun) simulate(ctx context.Context) {
	node, ordinal := r.cluster.nextNode()
	pause := pullTime + time.Duration(ordinal%5)*stagger
	completed := r.bind(ctx, node) && r.pull(ctx, pause) && r.run(ctx)
	if !completed && ctx.Err() == nil {
		r.shutDown(ctx) // the pod is being deleted
	}
}

// shutDown ends the container with the exit code of SIGTERM, and then removes the pod.
func (r *podRun) shutDown(ctx context.Context) {
	select {
	case <-time.After(terminateTime):
	case <-ctx.Done():
		return
	}
	r.change(ctx, func(pod *corev1.Pod) {
		if pod.Status.Phase == corev1.PodRunning {
			setEnd(pod, 143, "Error")
		}
	})
	r.cluster.remove(ctx, r.pod)
}

func (r *podRun) bind(ctx context.Context, node string) bool {
	if !r.wait(ctx, bindTime) {
		return false
	}
	r.cluster.bind(ctx, r.pod, node)
	r.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
		setContainer(pod, waiting("ContainerCreating", ""))
	})
	return true
}

// pull simulates the image pull. If the pull fails, the reason is first ErrImagePull and then
// ImagePullBackOff, as with a real kubelet.
func (r *podRun) pull(ctx context.Context, duration time.Duration) bool {
	image := r.pod.Spec.Containers[0].Image
	if failsFor := r.cluster.trouble(r.pod).PullFailsFor; failsFor > 0 {
		r.change(ctx, func(pod *corev1.Pod) {
			setContainer(pod, waiting("ErrImagePull", fmt.Sprintf("failed to pull image %q: the registry does not answer", image)))
		})
		if !r.wait(ctx, min(firstBackOff, failsFor)) {
			return false
		}
		r.change(ctx, func(pod *corev1.Pod) {
			setContainer(pod, waiting("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q", image)))
		})
		if !r.wait(ctx, failsFor-firstBackOff) {
			return false
		}
	}
	return r.wait(ctx, duration)
}

// run starts the container and waits until it ends. It returns false if the pod is being
// deleted, because the pod must then shut down.
func (r *podRun) run(ctx context.Context) bool {
	r.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		setContainer(pod, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
	})
	trouble := r.cluster.trouble(r.pod)
	select {
	case <-after(r.runFor()):
		code := r.exitCode()
		r.change(ctx, func(pod *corev1.Pod) { setEnd(pod, code, endReason(code)) })
		return true
	case <-after(trouble.EvictAfter):
		r.evict(ctx)
		return true
	case <-after(trouble.DeleteAfter):
		// Delete the pod through the API, like any other client.
		_ = r.cluster.client.CoreV1().Pods(r.pod.Namespace).Delete(ctx, r.pod.Name, metav1.DeleteOptions{})
		return false
	case <-r.stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// evict ends the pod to free its node. As usual with evictions, the status does not say
// how the container ended.
func (r *podRun) evict(ctx context.Context) {
	r.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		pod.Status.Reason = "Evicted"
		pod.Status.Message = "The node was low on resource: memory. "
		pod.Status.ContainerStatuses = nil
	})
}

// change modifies the status of the pod. It does nothing if the pod is gone.
func (r *podRun) change(ctx context.Context, modify func(*corev1.Pod)) {
	r.cluster.change(ctx, r.pod, modify)
}

// wait waits for d. It returns false if the pod is being deleted or ctx ends before.
func (r *podRun) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// runFor returns the run time from the pod's annotation, 0 for no limit.
func (r *podRun) runFor() time.Duration {
	d, _ := time.ParseDuration(r.pod.Annotations[RunForAnnotation])
	return d
}

func (r *podRun) exitCode() int32 {
	code, _ := strconv.ParseInt(r.pod.Annotations[ExitCodeAnnotation], 10, 32)
	return int32(code)
}

// endReason returns the reason that a container runtime reports for an exit code. Here
// SIGKILL always means that the kernel had no memory left.
func endReason(code int32) string {
	switch code {
	case 0:
		return "Completed"
	case 137:
		return "OOMKilled"
	default:
		return "Error"
	}
}

func setEnd(pod *corev1.Pod, code int32, reason string) {
	pod.Status.Phase = corev1.PodFailed
	if code == 0 {
		pod.Status.Phase = corev1.PodSucceeded
	}
	setContainer(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, FinishedAt: metav1.Now(),
	}})
}

func setContainer(pod *corev1.Pod, state corev1.ContainerState) {
	container := pod.Spec.Containers[0]
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  container.Name,
		Image: container.Image,
		State: state,
		Ready: state.Running != nil,
	}}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// after is time.After, but with 0 it blocks forever.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

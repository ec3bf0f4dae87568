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

// The annotations by which a pod tells a simulated kubelet what its container
// would do.
const (
	RunForAnnotation   = "watchsource.example/run-for"   // a Go duration; absent: until the pod is deleted
	ExitCodeAnnotation = "watchsource.example/exit-code" // a decimal number; absent: 0
)

// How long things take here. A real cluster takes longer.
const (
	bindTime      = 40 * time.Millisecond
	pullTime      = 260 * time.Millisecond
	unevenness    = 53 * time.Millisecond // no two of five pods do the same at the same time
	firstBackOff  = 350 * time.Millisecond
	terminateTime = 300 * time.Millisecond
)

// kubelet runs the pods of all nodes, each in a goroutine.
type kubelet struct {
	cluster *Cluster
	running sync.WaitGroup
	lives   map[types.UID]*podRun
}

// podRun is the time of one pod between its creation and its disappearance.
type podRun struct {
	cluster *Cluster
	pod     *corev1.Pod   // as it was created; the cluster has the current one
	asked   chan struct{} // closed when the pod is asked to go
	gone    func()        // ends the life without another word
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
	switch known := k.lives[pod.UID]; {
	case known == nil && event.Type != watch.Deleted && !ended(pod):
		k.start(ctx, pod)
	case known == nil:
	case event.Type == watch.Deleted:
		known.gone()
		delete(k.lives, pod.UID)
	case pod.DeletionTimestamp != nil:
		known.terminate()
	}
}

func (k *kubelet) start(ctx context.Context, pod *corev1.Pod) {
	ctx, gone := context.WithCancel(ctx)
	l := &podRun{cluster: k.cluster, pod: pod, asked: make(chan struct{}), gone: gone}
	k.lives[pod.UID] = l
	k.running.Go(func() {
		defer gone()
		l.live(ctx)
	})
}

// terminate asks the pod to go. Only the goroutine of handle calls it.
func (l *podRun) terminate() {
	select {
	case <-l.asked:
	default:
		close(l.asked)
	}
}

// live takes the pod through its life. Every step returns false when it was the
// last one.
func (l *podRun) live(ctx context.Context) {
	node, ordinal := l.cluster.nextNode()
	pause := pullTime + time.Duration(ordinal%5)*unevenness
	lived := l.bind(ctx, node) && l.pull(ctx, pause) && l.run(ctx)
	if !lived && ctx.Err() == nil {
		l.leave(ctx) // it was asked to go
	}
}

// leave ends the container, as SIGTERM does, and then the pod.
func (l *podRun) leave(ctx context.Context) {
	select {
	case <-time.After(terminateTime):
	case <-ctx.Done():
		return
	}
	l.change(ctx, func(pod *corev1.Pod) {
		if pod.Status.Phase == corev1.PodRunning {
			setEnd(pod, 143, "Error")
		}
	})
	l.cluster.remove(ctx, l.pod)
}

func (l *podRun) bind(ctx context.Context, node string) bool {
	if !l.wait(ctx, bindTime) {
		return false
	}
	l.cluster.bind(ctx, l.pod, node)
	l.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
		setContainer(pod, waiting("ContainerCreating", ""))
	})
	return true
}

// pull gets the image. Like a real kubelet it fails with ErrImagePull first and
// from then on waits with ImagePullBackOff.
func (l *podRun) pull(ctx context.Context, takes time.Duration) bool {
	image := l.pod.Spec.Containers[0].Image
	if broken := l.cluster.trouble(l.pod).PullFailsFor; broken > 0 {
		l.change(ctx, func(pod *corev1.Pod) {
			setContainer(pod, waiting("ErrImagePull", fmt.Sprintf("failed to pull image %q: the registry does not answer", image)))
		})
		if !l.wait(ctx, min(firstBackOff, broken)) {
			return false
		}
		l.change(ctx, func(pod *corev1.Pod) {
			setContainer(pod, waiting("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q", image)))
		})
		if !l.wait(ctx, broken-firstBackOff) {
			return false
		}
	}
	return l.wait(ctx, takes)
}

// run starts the container and lets it run until something ends it. It returns
// false when that is a deletion, which has more to do.
func (l *podRun) run(ctx context.Context) bool {
	l.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		setContainer(pod, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
	})
	trouble := l.cluster.trouble(l.pod)
	select {
	case <-after(l.runFor()):
		code := l.exitCode()
		l.change(ctx, func(pod *corev1.Pod) { setEnd(pod, code, endReason(code)) })
		return true
	case <-after(trouble.EvictAfter):
		l.evict(ctx)
		return true
	case <-after(trouble.DeleteAfter):
		// A deletion by way of the API, as anybody could do it.
		_ = l.cluster.client.CoreV1().Pods(l.pod.Namespace).Delete(ctx, l.pod.Name, metav1.DeleteOptions{})
		return false
	case <-l.asked:
		return false
	case <-ctx.Done():
		return false
	}
}

// evict ends the pod to free its node. As usual with evictions, the status does not say
// how the container ended.
func (l *podRun) evict(ctx context.Context) {
	l.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		pod.Status.Reason = "Evicted"
		pod.Status.Message = "The node was low on resource: memory. "
		pod.Status.ContainerStatuses = nil
	})
}

// change modifies the status of the pod, unless it is gone.
func (l *podRun) change(ctx context.Context, modify func(*corev1.Pod)) {
	l.cluster.change(ctx, l.pod, modify)
}

// wait lets time go by. It returns false when the pod is asked to go or gone.
func (l *podRun) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.asked:
		return false
	case <-ctx.Done():
		return false
	}
}

// runFor is what the pod's annotation says, 0 for no limit.
func (l *podRun) runFor() time.Duration {
	d, _ := time.ParseDuration(l.pod.Annotations[RunForAnnotation])
	return d
}

func (l *podRun) exitCode() int32 {
	code, _ := strconv.ParseInt(l.pod.Annotations[ExitCodeAnnotation], 10, 32)
	return int32(code)
}

// endReason is the word that a container runtime has for an exit code. SIGKILL
// comes from the kernel here, which had no memory left.
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

// after is time.After, which 0 leaves waiting for ever.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

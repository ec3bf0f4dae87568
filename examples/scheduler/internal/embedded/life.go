// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/retry"
)

// How long things take here. A real cluster takes longer.
const (
	bindTime      = 40 * time.Millisecond
	pullTime      = 260 * time.Millisecond
	unevenness    = 53 * time.Millisecond // no two of five pods do the same at the same time
	firstBackOff  = 350 * time.Millisecond
	terminateTime = 300 * time.Millisecond
)

// life is the time of one pod between its creation and its disappearance.
type life struct {
	pods    typedcorev1.PodInterface
	pod     *corev1.Pod // as it was first seen
	trouble Trouble
	ordinal int
	asked   chan struct{} // closed when the pod is asked to go
	gone    func()        // ends the life without another word
}

// terminate asks the pod to go. Only the goroutine of the kubelet calls it.
func (l *life) terminate() {
	select {
	case <-l.asked:
	default:
		close(l.asked)
	}
}

// live takes the pod through its life. Every step returns false when it was the
// last one.
func (l *life) live(ctx context.Context) {
	pause := pullTime + time.Duration(l.ordinal%5)*unevenness
	lived := l.bind(ctx) && l.pull(ctx, pause) && l.run(ctx)
	if !lived && ctx.Err() == nil {
		l.leave(ctx) // it was asked to go
	}
}

// leave ends the container, as SIGTERM does, and then the pod.
func (l *life) leave(ctx context.Context) {
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
	_ = l.pods.Delete(ctx, l.pod.Name, metav1.DeleteOptions{ // gone already is as good
		GracePeriodSeconds: new(int64(0)),
		Preconditions:      metav1.NewUIDPreconditions(string(l.pod.UID)),
	})
}

// bind spreads the pods over three nodes.
func (l *life) bind(ctx context.Context) bool {
	if !l.wait(ctx, bindTime) {
		return false
	}
	l.write(ctx, l.pods.Update, func(pod *corev1.Pod) {
		pod.Spec.NodeName = fmt.Sprintf("node-%d", (l.ordinal-1)%3+1)
	})
	l.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
		setContainer(pod, waiting("ContainerCreating", ""))
	})
	return true
}

// pull gets the image. Like a real kubelet it fails with ErrImagePull first and
// from then on waits with ImagePullBackOff.
func (l *life) pull(ctx context.Context, takes time.Duration) bool {
	image := l.pod.Spec.Containers[0].Image
	if broken := l.trouble.PullFailsFor; broken > 0 {
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
func (l *life) run(ctx context.Context) bool {
	l.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		setContainer(pod, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
	})
	select {
	case <-after(l.runFor()):
		code := l.exitCode()
		l.change(ctx, func(pod *corev1.Pod) { setEnd(pod, code, endReason(code)) })
		return true
	case <-after(l.trouble.EvictAfter):
		l.evict(ctx)
		return true
	case <-after(l.trouble.DeleteAfter):
		// A deletion by way of the API, as anybody could do it.
		_ = l.pods.Delete(ctx, l.pod.Name, metav1.DeleteOptions{})
		return false
	case <-l.asked:
		return false
	case <-ctx.Done():
		return false
	}
}

// evict ends the pod for the sake of its node. What became of the container is
// not told, as is usual with evictions.
func (l *life) evict(ctx context.Context) {
	l.change(ctx, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		pod.Status.Reason = "Evicted"
		pod.Status.Message = "The node was low on resource: memory. "
		pod.Status.ContainerStatuses = nil
	})
}

// change modifies the status of the pod, unless it is gone.
func (l *life) change(ctx context.Context, modify func(*corev1.Pod)) {
	l.write(ctx, l.pods.UpdateStatus, modify)
}

type update func(context.Context, *corev1.Pod, metav1.UpdateOptions) (*corev1.Pod, error)

// write reads, modifies and updates the pod, again if somebody else has changed
// it in between.
func (l *life) write(ctx context.Context, update update, modify func(*corev1.Pod)) {
	_ = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		pod, err := l.pods.Get(ctx, l.pod.Name, metav1.GetOptions{})
		if err != nil || pod.UID != l.pod.UID {
			return err
		}
		modify(pod)
		_, err = update(ctx, pod, metav1.UpdateOptions{})
		return err
	})
}

// wait lets time go by. It returns false when the pod is asked to go or gone.
func (l *life) wait(ctx context.Context, d time.Duration) bool {
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

// after is time.After, which 0 leaves waiting for ever.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

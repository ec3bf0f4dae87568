// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The durations of the simulated steps. A real cluster takes longer.
const (
	bindTime      = 40 * time.Millisecond
	pullTime      = 260 * time.Millisecond
	stagger       = 53 * time.Millisecond // makes five pods in a row act at different times
	firstBackOff  = 350 * time.Millisecond
	terminateTime = 300 * time.Millisecond
)

// StartKubelet starts a simulated scheduler and kubelet, which take all pods through their
// life: those that the server has, and those that are created later. A pod is bound to one of
// three nodes after 40 milliseconds, and its containers run after 0.3 to 0.6 seconds, in each
// case with the changes that a watch of a real cluster shows. What happens then, lifecycle
// says. It is called once for each pod, when the pod is first seen, and must not call the
// server. If it is nil, [LifecycleOf] is used, so that the annotations of the pod say it.
//
// A pod that is being deleted ends after 0.3 seconds, with the exit code 143 of SIGTERM, and is
// then removed. A pod that has ended stays until it is deleted, as in a real cluster. Containers
// are never restarted, whatever the restart policy. Init containers and probes are ignored.
//
// The kubelet is a part of the server and none of its clients: faults do not reach it, and its
// writes are not in [Server.Requests]. It has no goroutine. Each step is a timer, so that it
// runs in a bubble and need not be stopped at its end. If the test itself ends or deletes a
// pod, the kubelet leaves that pod.
//
// After stop the kubelet changes nothing, as if all nodes were lost. Then StartKubelet may be
// called again, and continues where the pods are. It panics while a kubelet runs.
func (s *Server) StartKubelet(lifecycle func(pod *corev1.Pod) Lifecycle) (stop func()) {
	if lifecycle == nil {
		lifecycle = LifecycleOf
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kubelet != nil {
		panic("watchtest: start a kubelet while another one runs")
	}
	k := &kubelet{server: s, lifecycle: lifecycle}
	s.kubelet = k
	k.adoptAll()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.kubelet == k {
			k.abandonAll()
			s.kubelet = nil
		}
	}
}

// kubelet runs the pods of all nodes. All its methods, and those of podRun, are called with
// Server.mu held.
type kubelet struct {
	server    *Server
	lifecycle func(*corev1.Pod) Lifecycle
	runs      map[string]*podRun // by the key of the pod
	adopted   int                // pods so far, for the nodes
}

// podRun takes one pod through its steps. Each step starts the timers of the next one.
type podRun struct {
	kubelet     *kubelet
	key         string
	ordinal     int
	lifecycle   Lifecycle
	started     bool
	terminating bool
	timers      []*time.Timer // one step is due when the first of them fires
}

// adoptAll begins with all pods that the server has.
func (k *kubelet) adoptAll() {
	k.runs = map[string]*podRun{}
	for _, pod := range k.server.store.at(k.server.store.version) {
		k.adopt(pod)
	}
}

// abandonAll stops all timers.
func (k *kubelet) abandonAll() {
	for _, r := range k.runs {
		r.cancel()
	}
	k.runs = nil
}

// observe handles a change, also one by the kubelet itself.
func (k *kubelet) observe(c *change) {
	if c.after == nil {
		k.abandon(c.key())
		return
	}
	switch r := k.runs[c.key()]; {
	case r == nil && c.before == nil:
		k.adopt(c.after)
	case r == nil:
	case c.after.DeletionTimestamp != nil:
		r.terminate()
	case ended(c.after):
		k.abandon(r.key)
	case c.after.Status.Phase == corev1.PodRunning && !r.started: // by the kubelet or by the test
		r.cancel()
		r.awaitEnd()
	}
}

// adopt begins with a pod, in whatever state it is.
func (k *kubelet) adopt(pod *corev1.Pod) {
	if ended(pod) {
		return
	}
	k.adopted++
	r := &podRun{kubelet: k, key: keyOf(pod), ordinal: k.adopted, lifecycle: k.lifecycle(pod.DeepCopy())}
	k.runs[r.key] = r
	switch {
	case pod.DeletionTimestamp != nil:
		r.terminate()
	case pod.Status.Phase == corev1.PodRunning:
		r.awaitEnd()
	case pod.Spec.NodeName != "":
		r.pull()
	default:
		r.after(bindTime, r.bind)
	}
}

func (k *kubelet) abandon(key string) {
	if r := k.runs[key]; r != nil {
		r.cancel()
		delete(k.runs, key)
	}
}

// after takes a step after a time, unless another one comes first.
func (r *podRun) after(d time.Duration, step func()) {
	s := r.kubelet.server
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.Contains(r.timers, timer) { // otherwise it was cancelled just now
			r.cancel()
			step()
		}
	})
	r.timers = append(r.timers, timer)
}

func (r *podRun) cancel() {
	for _, timer := range r.timers {
		timer.Stop()
	}
	r.timers = nil
}

// change writes a new state of the pod, which the server has.
func (r *podRun) change(modify func(pod *corev1.Pod)) {
	s := r.kubelet.server
	pod := s.store.pods[r.key].DeepCopy()
	modify(pod)
	s.commit(s.store.put(pod))
}

// bind distributes the pods over three nodes.
func (r *podRun) bind() {
	r.change(func(pod *corev1.Pod) { pod.Spec.NodeName = fmt.Sprintf("node-%d", (r.ordinal-1)%3+1) })
	r.change(func(pod *corev1.Pod) {
		pod.Status.StartTime = new(metav1.Now())
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		setWaiting(pod, "ContainerCreating", "")
	})
	r.pull()
}

// pull simulates the image pull. If the pull fails, the reason is first ErrImagePull and then
// ImagePullBackOff, as with a real kubelet.
func (r *podRun) pull() {
	pause := pullTime + time.Duration(r.ordinal%5)*stagger
	failsFor := r.lifecycle.PullFailsFor
	if failsFor == 0 {
		r.after(pause, r.start)
		return
	}
	r.change(func(pod *corev1.Pod) {
		setWaiting(pod, "ErrImagePull", fmt.Sprintf("failed to pull image %q: the registry does not answer", imageOf(pod)))
	})
	r.after(min(firstBackOff, failsFor), func() {
		r.change(func(pod *corev1.Pod) {
			setWaiting(pod, "ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q", imageOf(pod)))
		})
		r.after(max(failsFor-firstBackOff, 0)+pause, r.start)
	})
}

func (r *podRun) start() {
	r.change(func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		setContainers(pod, func(int) corev1.ContainerState {
			return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
		})
	}) // which observe sees
}

// awaitEnd waits for the first end that the lifecycle of a running pod has.
func (r *podRun) awaitEnd() {
	r.started = true
	for _, end := range []struct {
		after time.Duration
		step  func()
	}{
		{r.lifecycle.RunFor, func() { r.end(r.lifecycle.ExitCode) }},
		{r.lifecycle.EvictAfter, r.evict},
		{r.lifecycle.DeleteAfter, r.delete},
	} {
		if end.after > 0 {
			r.after(end.after, end.step)
		}
	}
}

func (r *podRun) end(code int32) {
	r.change(func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		if code == 0 {
			pod.Status.Phase = corev1.PodSucceeded
		}
		setTerminated(pod, code)
	})
}

// evict ends the pod to free its node. As usual with evictions, the status does not say how
// the containers ended.
func (r *podRun) evict() {
	r.change(func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		pod.Status.Reason = "Evicted"
		pod.Status.Message = "The node was low on resource: memory. "
		pod.Status.ContainerStatuses = nil
	})
}

// delete does what a client does that deletes the pod.
func (r *podRun) delete() {
	s := r.kubelet.server
	_, _ = s.deletePod(s.store.pods[r.key], metav1.DeleteOptions{}) // without preconditions there is no error
}

// terminate shuts down a pod that is being deleted, and then removes it.
func (r *podRun) terminate() {
	if r.terminating {
		return
	}
	r.terminating = true
	r.cancel()
	r.after(terminateTime, func() {
		s := r.kubelet.server
		if s.store.pods[r.key].Status.Phase == corev1.PodRunning {
			r.end(143)
		}
		_, _ = s.deletePod(s.store.pods[r.key], metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	})
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// imageOf returns the image of the first container. The server does not validate pods, so a
// pod may have none.
func imageOf(pod *corev1.Pod) string {
	if len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Image
}

func setWaiting(pod *corev1.Pod, reason, message string) {
	setContainers(pod, func(int) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

// setTerminated ends the first container with an exit code, and the others with 0.
func setTerminated(pod *corev1.Pod, code int32) {
	before := pod.Status.ContainerStatuses
	setContainers(pod, func(i int) corev1.ContainerState {
		end := &corev1.ContainerStateTerminated{FinishedAt: metav1.Now(), ContainerID: containerID(pod, i)}
		if i == 0 {
			end.ExitCode = code
		}
		end.Reason = endReason(end.ExitCode)
		if i < len(before) && before[i].State.Running != nil {
			end.StartedAt = before[i].State.Running.StartedAt
		}
		return corev1.ContainerState{Terminated: end}
	})
}

// setContainers gives each container its state, by its index.
func setContainers(pod *corev1.Pod, state func(i int) corev1.ContainerState) {
	statuses := make([]corev1.ContainerStatus, 0, len(pod.Spec.Containers))
	for i, container := range pod.Spec.Containers {
		status := corev1.ContainerStatus{Name: container.Name, Image: container.Image, State: state(i)}
		status.Ready = status.State.Running != nil
		if status.State.Waiting == nil {
			status.ContainerID = containerID(pod, i)
		}
		statuses = append(statuses, status)
	}
	pod.Status.ContainerStatuses = statuses
}

// containerID identifies the run of a container. There is one, because containers are not
// restarted.
func containerID(pod *corev1.Pod, i int) string { return fmt.Sprintf("watchtest://%s-%d", pod.UID, i) }

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

// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A lifecycle knows what the scheduler, the kubelet and controllers write to a pod.
type lifecycle struct {
	bound   bool // the first update binds it otherwise
	endsAt  int  // after so many updates the pod has succeeded, never if it is below 0
	node    string
	hostIP  string
	podIP   string
	network string // id of the sandbox
	lacking int    // nodes without enough CPU, before the pod is bound

	scheduled, initialized, started metav1.Time
	pace                            time.Duration // from one update to the next
	containerIDs                    []string      // of init containers and containers
}

// newLifecycle draws everything at once, so that the updates of a pod have it in common.
func newLifecycle(v *variation, pod *corev1.Pod) lifecycle {
	l := lifecycle{bound: true, endsAt: -1, podIP: v.podIP(), network: v.hex(64), lacking: v.between(1, nodes), pace: v.seconds(11, 400)}
	l.node, l.hostIP = v.node()
	l.scheduled = after(v.created, v.seconds(0, 5))
	l.initialized = after(l.scheduled, v.seconds(1, 45))
	l.started = after(l.initialized, v.seconds(1, 90))
	for range len(pod.Spec.InitContainers) + len(pod.Spec.Containers) {
		l.containerIDs = append(l.containerIDs, v.containerID())
	}
	switch n := v.random.IntN(20); {
	case n < 2:
		l.bound = false
	case n < 5:
		l.endsAt = 0
	case n < 7:
		l.endsAt = 2
	}
	return l
}

func after(t metav1.Time, d time.Duration) metav1.Time { return metav1.NewTime(t.Add(d)) }

// advance sets the status of a pod after a number of updates, and the fields of its metadata
// and its spec that the cluster sets.
func (l lifecycle) advance(pod *corev1.Pod, updates int) {
	pod.Generation, pod.Status.ObservedGeneration = 1, 1
	pod.Status.QOSClass = corev1.PodQOSBurstable
	if !l.bound && updates == 0 {
		l.wait(pod)
		return
	}
	l.bind(pod)
	switch {
	case l.endsAt >= 0 && updates >= l.endsAt:
		l.succeed(pod, updates)
	case !l.bound && updates == 1:
		l.create(pod)
	case !l.bound:
		l.run(pod, updates, updates%2 == 1)
	default:
		l.run(pod, updates, updates%2 == 0)
	}
}

// wait makes the pod one for which there is no node.
func (l lifecycle) wait(pod *corev1.Pod) {
	pod.Status.Phase = corev1.PodPending
	pod.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: l.scheduled, ObservedGeneration: 1,
		Message: fmt.Sprintf("0/%d nodes are available: %d Insufficient cpu, %d Insufficient memory. preemption: 0/%[1]d nodes are available: %[1]d No preemption victims found for incoming pod.",
			nodes, l.lacking, nodes-l.lacking),
	}}
}

func (l lifecycle) bind(pod *corev1.Pod) {
	pod.Spec.NodeName = l.node
	pod.Status.HostIP, pod.Status.HostIPs = l.hostIP, []corev1.HostIP{{IP: l.hostIP}}
	pod.Status.StartTime = &l.scheduled
}

// create makes the pod one whose containers are about to start.
func (l lifecycle) create(pod *corev1.Pod) {
	pod.Status.Phase = corev1.PodPending
	const reason, message = "ContainersNotReady", "containers with unready status: "
	l.conditions(pod, corev1.ConditionFalse, reason, message+fmt.Sprint(names(pod)), l.scheduled)
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Started: new(false),
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
		})
	}
}

// run writes the status of a pod that runs.
func (l lifecycle) run(pod *corev1.Pod, updates int, ready bool) {
	pod.Status.Phase = corev1.PodRunning
	l.connect(pod)
	changed := after(l.started, time.Duration(updates)*l.pace)
	if ready {
		l.conditions(pod, corev1.ConditionTrue, "", "", changed)
	} else {
		l.conditions(pod, corev1.ConditionFalse, "ContainersNotReady", fmt.Sprintf("containers with unready status: [%s]", pod.Spec.Containers[0].Name), changed)
	}
	l.containers(pod, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: l.started}})
	for i := range pod.Status.ContainerStatuses {
		pod.Status.ContainerStatuses[i].Ready = ready || i > 0
		pod.Status.ContainerStatuses[i].Started = new(true)
	}
}

// succeed writes the status of a pod that has ended. Further updates are a controller's, which exports
// what the pod has logged.
func (l lifecycle) succeed(pod *corev1.Pod, updates int) {
	pod.Status.Phase = corev1.PodSucceeded
	l.connect(pod)
	ended := after(l.started, time.Duration(l.endsAt+1)*l.pace)
	l.conditions(pod, corev1.ConditionFalse, "PodCompleted", "", ended)
	l.containers(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "Completed", StartedAt: l.started, FinishedAt: ended,
	}})
	for i := range pod.Status.ContainerStatuses {
		status := &pod.Status.ContainerStatuses[i]
		status.State.Terminated.ContainerID, status.Started = status.ContainerID, new(false)
	}
	if exported := updates - l.endsAt; exported > 0 {
		pod.Annotations["jobs.example.com/exported-at"] = ended.Add(time.Duration(exported) * time.Minute).UTC().Format(time.RFC3339)
	}
}

// connect gives the pod its address, as the kubelet and the network plugin write it.
func (l lifecycle) connect(pod *corev1.Pod) {
	pod.Status.PodIP, pod.Status.PodIPs = l.podIP, []corev1.PodIP{{IP: l.podIP}}
	pod.Annotations["cni.projectcalico.org/containerID"] = l.network
	pod.Annotations["cni.projectcalico.org/podIP"] = l.podIP + "/32"
	pod.Annotations["cni.projectcalico.org/podIPs"] = l.podIP + "/32"
}

func (l lifecycle) conditions(pod *corev1.Pod, ready corev1.ConditionStatus, reason, message string, changed metav1.Time) {
	add := func(t corev1.PodConditionType, s corev1.ConditionStatus, since metav1.Time, reason, message string) {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
			Type: t, Status: s, LastTransitionTime: since, Reason: reason, Message: message, ObservedGeneration: 1,
		})
	}
	created := corev1.ConditionTrue
	if pod.Status.PodIP == "" || pod.Status.Phase == corev1.PodSucceeded {
		created = corev1.ConditionFalse
	}
	add(corev1.PodReadyToStartContainers, created, l.initialized, "", "")
	add(corev1.PodInitialized, corev1.ConditionTrue, l.initialized, "", "")
	add(corev1.PodReady, ready, changed, reason, message)
	add(corev1.ContainersReady, ready, changed, reason, message)
	add(corev1.PodScheduled, corev1.ConditionTrue, l.scheduled, "", "")
}

// containers adds the statuses of the init containers, which have ended, and of the containers.
func (l lifecycle) containers(pod *corev1.Pod, state corev1.ContainerState) {
	for i, c := range pod.Spec.InitContainers {
		id := l.containerIDs[i]
		pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, containerStatus(c, id, corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: l.initialized, FinishedAt: l.initialized, ContainerID: id},
		}))
		pod.Status.InitContainerStatuses[i].Ready, pod.Status.InitContainerStatuses[i].Started = true, new(false)
	}
	for i, c := range pod.Spec.Containers {
		id := l.containerIDs[len(pod.Spec.InitContainers)+i]
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, containerStatus(c, id, *state.DeepCopy()))
	}
}

func containerStatus(c corev1.Container, id string, state corev1.ContainerState) corev1.ContainerStatus {
	status := corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: imageID(c.Image), ContainerID: id, State: state,
		AllocatedResources: c.Resources.Requests,
		Resources:          c.Resources.DeepCopy(),
		User:               &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{UID: 1000, GID: 1000, SupplementalGroups: []int64{1000}}},
	}
	for _, m := range c.VolumeMounts {
		mount := corev1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mount.RecursiveReadOnly = new(corev1.RecursiveReadOnlyDisabled)
		}
		status.VolumeMounts = append(status.VolumeMounts, mount)
	}
	return status
}

// imageID returns the same digest for each pod with an image.
func imageID(image string) string {
	hash := fnv.New64a()
	hash.Write([]byte(image))
	digest := &variation{random: rand.New(rand.NewPCG(hash.Sum64(), 0))}
	return image[:lastColon(image)] + "@sha256:" + digest.hex(64)
}

func lastColon(image string) int {
	for i := len(image) - 1; i >= 0; i-- {
		if image[i] == ':' {
			return i
		}
	}
	return len(image)
}

func names(pod *corev1.Pod) (names []string) {
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	return names
}

// lastTransition is when the kubelet wrote the status.
func lastTransition(pod *corev1.Pod) metav1.Time {
	last := pod.CreationTimestamp
	for _, c := range pod.Status.Conditions {
		if c.LastTransitionTime.After(last.Time) {
			last = c.LastTransitionTime
		}
	}
	return last
}

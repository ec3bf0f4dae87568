// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// Templates are freed with the last pod that is made of them.
func TestTemplatesAreFreed(t *testing.T) {
	s := newPodStore()
	var kept *Pod
	var others []weak.Pointer[Pod]
	for seed := range uint64(100) { // pods that have little in common
		pod := podtest.Filled(seed)
		pod.UID, pod.Name = types.UID(fmt.Sprint(seed)), "pod"
		if now := s.receive(t, pod); seed == 50 {
			kept = now
		} else {
			others = append(others, weak.Make(now))
		}
	}
	if n := s.alive(); n < 100 {
		t.Errorf("%d templates of %d are alive, want them to live as long as their pods", n, len(s.made))
	}
	clear(s.pods)
	want := map[*packing.Template]bool{}
	for _, p := range partsIn(kept) {
		want[p.Template] = true
	}
	if n := s.alive(); n != len(want) {
		t.Errorf("%d templates are alive, want the %d of the only pod", n, len(want))
	}
	for i, other := range others {
		if other.Value() != nil {
			t.Errorf("pod %d is alive, want only the one that is kept", i)
		}
	}
	goruntime.KeepAlive(kept)
	kept, want = nil, nil
	if n := s.alive(); n != 0 {
		t.Errorf("%d templates are alive after the last pod, want none", n)
	}
	goruntime.KeepAlive(s.decoder)
}

// A pod of an application: the applications differ in most of their texts, the pods of one
// in few.
func podOf(app, i int) *corev1.Pod {
	pod := podtest.Executor(app*1000+i, 1, true)
	r := rand.New(rand.NewPCG(uint64(app), 0))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('a' + r.IntN(26))
		}
		return string(b)
	}
	pod.Namespace, pod.ManagedFields = "app-"+fmt.Sprint(app), nil
	pod.Labels = map[string]string{"app": text(20), "team": text(20), "pod": fmt.Sprint(i)}
	pod.Annotations = map[string]string{text(10): text(80), text(12): text(60)}
	pod.OwnerReferences[0].Name = text(40)
	c := &pod.Spec.Containers[0]
	c.Env = nil
	for range 25 {
		c.Env = append(c.Env, corev1.EnvVar{Name: text(20), Value: text(40)})
	}
	c.Env = append(c.Env, corev1.EnvVar{Name: "ID", Value: fmt.Sprint(i)})
	c.Image, c.VolumeMounts = text(60), nil
	pod.Spec.Volumes = nil
	pod.Status.ContainerStatuses[0].Image = c.Image
	pod.Status.ContainerStatuses[0].ImageID = text(100)
	pod.Status.ContainerStatuses[0].VolumeMounts = nil
	pod.Status.Message = text(1000)
	return pod
}

// inPhase changes the status of a pod to that of a phase.
func inPhase(pod *corev1.Pod, phase int) *corev1.Pod {
	pod.ResourceVersion = fmt.Sprint(phase)
	status := &pod.Status
	switch phase % 4 {
	case 0: // pending
		*status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: status.QOSClass, Conditions: status.Conditions[4:5]}
		status.Conditions[0].Reason, status.Conditions[0].Message = "Unschedulable", "0/100 nodes are available: "+strings.Repeat("insufficient cpu, ", 10)
	case 1: // waits for its image
		status.Phase, status.PodIP, status.PodIPs = corev1.PodPending, "", nil
		status.ContainerStatuses[0].ContainerID, status.ContainerStatuses[0].ImageID = "", ""
		status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	case 2: // runs
	default: // has ended
		status.Phase = corev1.PodFailed
		status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "OOMKilled", StartedAt: *status.StartTime, FinishedAt: *status.StartTime, ContainerID: status.ContainerStatuses[0].ContainerID,
		}}
	}
	return pod
}

// Pods of several applications whose events come in turn do not replace the templates of each other.
func TestTemplatesOfSeveralApplications(t *testing.T) {
	for _, apps := range []int{2, 8, 9, 24, 100} {
		t.Run(fmt.Sprint(apps), func(t *testing.T) {
			const pods, events = 10, 10_000
			s := newPodStore()
			var of []*corev1.Pod
			for j := range apps * pods {
				of = append(of, podOf(j%apps, j/apps))
			}
			for j := range events {
				i, phase := j%len(of), j/len(of)
				s.receive(t, inPhase(of[i].DeepCopy(), i/apps+phase)) // all phases at any time
			}
			templates, deltas := s.inUse()
			alive := s.alive()
			t.Logf("%v templates in use, %d alive, %d made by %d events, %d bytes a pod", templates, alive, len(s.made), events, deltas/len(s.pods))
			if most := 20 * apps; len(s.made) > most {
				t.Errorf("%d templates made by %d events, want at most %d", len(s.made), events, most)
			}
			if most := apps * (1 + 1 + 4); alive > most {
				t.Errorf("%d templates are alive, want at most %d", alive, most)
			}
		})
	}
}

// New pods of several applications in turn find the templates of their applications.
func TestTemplatesOfNewPods(t *testing.T) {
	for _, apps := range []int{2, 8, 9, 24, 100} {
		t.Run(fmt.Sprint(apps), func(t *testing.T) {
			const pods = 1000
			s := newPodStore()
			for j := range pods {
				s.receive(t, podOf(j%apps, j/apps))
			}
			templates, deltas := s.inUse()
			t.Logf("%v templates in use, %d made by %d pods, %d bytes a pod", templates, len(s.made), pods, deltas/pods)
			if most := 2 * apps; slices.Max(templates[:]) > most {
				t.Errorf("%v templates for metadata, spec and status of %d pods, want at most %d each", templates, pods, most)
			}
		})
	}
}

// An element that is inserted or removed costs about as many bytes as it has.
func TestInsertedAndRemovedParts(t *testing.T) {
	for name, change := range map[string]func(*corev1.Pod){
		"a first variable": func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.Env = slices.Insert(c.Env, 0, corev1.EnvVar{Name: "INSERTED", Value: "here"})
		},
		"a variable in the middle": func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.Env = slices.Insert(c.Env, 12, corev1.EnvVar{Name: "INSERTED", Value: "here"})
		},
		"the last variable":  func(p *corev1.Pod) { c := &p.Spec.Containers[0]; c.Env = c.Env[:len(c.Env)-1] },
		"the first variable": func(p *corev1.Pod) { c := &p.Spec.Containers[0]; c.Env = c.Env[1:] },
		"the first volume":   func(p *corev1.Pod) { p.Spec.Volumes = p.Spec.Volumes[1:] },
		"an init container":  func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "init"}} },
		"a sidecar first": func(p *corev1.Pod) {
			p.Spec.Containers = slices.Insert(p.Spec.Containers, 0, corev1.Container{Name: "sidecar"})
		},
		"a first label":         func(p *corev1.Pod) { p.Labels["a"] = "inserted" },
		"a label in the middle": func(p *corev1.Pod) { p.Labels["spark-exec-resourceprofile-i"] = "inserted" },
		"without a label":       func(p *corev1.Pod) { delete(p.Labels, "spark-app-name") },
		"a first annotation":    func(p *corev1.Pod) { p.Annotations["a"] = "inserted" },
		"a first condition": func(p *corev1.Pod) {
			p.Status.Conditions = slices.Insert(p.Status.Conditions, 0, corev1.PodCondition{Type: "First"})
		},
		"without a first condition": func(p *corev1.Pod) { p.Status.Conditions = p.Status.Conditions[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			s := newPodStore()
			plain := podtest.Executor(1, 1, true)
			s.receive(t, plain)
			changed := podtest.Executor(1, 1, true)
			changed.UID = "another"
			change(changed)
			s.receive(t, changed)
			templates, deltas := s.inUse()
			if templates != [3]int{1, 1, 1} {
				t.Errorf("%v templates, want the pod packed with those of the other", templates)
			}
			if most := 300; deltas > most {
				t.Errorf("%d bytes of deltas, want at most %d", deltas, most)
			}
		})
	}
}

// A small pod does not keep a large one in memory, as another pod or as a later state.
func TestSmallPodKeepsNoLargeTemplate(t *testing.T) {
	s := newPodStore()
	large := podtest.Executor(1, 1, true)
	large.Annotations["zz/config"] = strings.Repeat("large", 40<<10)
	s.receive(t, large)
	later := podtest.Executor(1, 2, true)
	for name, pod := range map[string]*corev1.Pod{"another pod": podtest.Executor(2, 1, true), "a later state": later} {
		size := 0
		for _, part := range partsIn(s.receive(t, pod)) {
			size += len(part.Template.Wire)
		}
		if most := 2*pod.Size() + 3*256; size > most {
			t.Errorf("%s keeps templates of %d bytes, want at most %d", name, size, most)
		}
	}
}

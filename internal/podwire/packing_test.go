// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"
	"weak"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// partNames are the names of the parts in [partsIn].
var partNames = [3]string{"metadata", "spec", "status"}

// A store keeps the last state of each pod, as long as it wants, and counts the templates.
type podStore struct {
	*decoder
	pods map[types.UID]*Pod
	made map[weak.Pointer[packing.Template]]bool // of all states
}

func newPodStore() *podStore {
	s := &podStore{pods: map[types.UID]*Pod{}, made: map[weak.Pointer[packing.Template]]bool{}}
	s.decoder = newDecoder(Wire, nil, func(uid []byte) Known {
		if pod := s.pods[types.UID(uid)]; pod != nil {
			return Known{Identity: pod.Identity, Pod: pod}
		}
		return Known{}
	})
	return s
}

// receive decodes a state of a pod, and keeps it in the place of the one before.
func (s *podStore) receive(tb testing.TB, pod *corev1.Pod) *Pod {
	tb.Helper()
	raw, err := pod.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	now, ok := s.object(wrapped("Pod", raw)).(*Pod)
	if !ok {
		tb.Fatalf("%s is not decoded, want it decoded", pod.Name)
	}
	clear(raw)
	for _, p := range partsIn(now) {
		if p.Template != nil {
			s.made[weak.Make(p.Template)] = true
		}
	}
	s.pods[now.UID] = now
	return now
}

func partsIn(p *Pod) [3]packing.Part { return [3]packing.Part{p.metadata, p.spec, p.status} }

// inUse returns the number of templates of the pods in the store, by part, and the bytes of their deltas.
func (s *podStore) inUse() (templates [3]int, deltas int) {
	var seen [3]map[*packing.Template]bool
	for _, pod := range s.pods {
		for i, p := range partsIn(pod) {
			if seen[i] == nil {
				seen[i] = map[*packing.Template]bool{}
			}
			if p.Template != nil {
				seen[i][p.Template] = true
			}
			deltas += len(p.Delta)
		}
	}
	for i := range seen {
		templates[i] = len(seen[i])
	}
	return templates, deltas
}

// alive returns the number of templates, of all that were made, that are not garbage.
func (s *podStore) alive() (n int) {
	goruntime.GC()
	goruntime.GC()
	for t := range s.made {
		if t.Value() != nil {
			n++
		}
	}
	return n
}

func samePacked(a, b packing.Part) bool {
	return a.Template == b.Template && len(a.Delta) == len(b.Delta) && unsafe.StringData(a.Delta) == unsafe.StringData(b.Delta)
}

// An event that changes one part of a pod keeps the others in the same memory.
func TestStatesShareWhatHasNotChanged(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*corev1.Pod)
		changed [3]bool
	}{
		"nothing but the version": {func(p *corev1.Pod) {}, [3]bool{}},
		"managedFields":           {func(p *corev1.Pod) { p.ManagedFields[0].Manager = "another" }, [3]bool{}},
		"status":                  {func(p *corev1.Pod) { p.Status = podtest.Executor(2, 1, false).Status }, [3]bool{2: true}},
		"a label":                 {func(p *corev1.Pod) { p.Labels["team"] = "another" }, [3]bool{true, false, false}},
		"a deletion":              {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: p.CreationTimestamp.Time} }, [3]bool{true, false, false}},
		"an image":                {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "another" }, [3]bool{false, true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPodStore()
			s.receive(t, podtest.Executor(1, 1, true)) // has the templates
			before := s.receive(t, podtest.Executor(2, 1, true))
			state := podtest.Executor(2, 2, true)
			test.change(state)
			after := s.receive(t, state)
			a, b := partsIn(before), partsIn(after)
			for i := range a {
				if shared := samePacked(a[i], b[i]); shared == test.changed[i] {
					t.Errorf("%s is shared: %t, want %t", partNames[i], shared, !test.changed[i])
				}
				if a[i].Delta == "" {
					t.Errorf("%s has no delta, so this test proves nothing", partNames[i])
				}
			}
			if after.SameMetadata(before) == test.changed[0] {
				t.Errorf("SameMetadata: %t, want %t", test.changed[0], !test.changed[0])
			}
			if unsafe.StringData(before.Name) != unsafe.StringData(after.Name) || unsafe.StringData(before.Namespace) != unsafe.StringData(after.Namespace) {
				t.Error("two states have two copies of their name, want one")
			}
			if before.policies != after.policies || unsafe.StringData(before.node) != unsafe.StringData(after.node) {
				t.Error("two states have two copies of their policies or node, want one")
			}
			if before.ResourceVersion == after.ResourceVersion {
				t.Error("two states have one version, want two")
			}
		})
	}
}

// SameMetadata is false for pods that are not in their wire form, and for different pods.
func TestSameMetadata(t *testing.T) {
	s := newPodStore()
	one, other := s.receive(t, podtest.Executor(1, 1, true)), s.receive(t, podtest.Executor(2, 1, true))
	decoded, part := Of(podtest.Executor(1, 1, true)), Part(one.Identity, "a", "b")
	for name, pair := range map[string][2]*Pod{"two pods": {one, other}, "decoded": {decoded, decoded}, "in part": {part, part}, "one in part": {one, part}} {
		if pair[0].SameMetadata(pair[1]) {
			t.Errorf("%s: SameMetadata is true, want false", name)
		}
	}
}

// Nearly equal pods share their templates. Each pod has only its differences.
func TestNearlyEqualPods(t *testing.T) {
	const pods, most = 1000, 200
	s := newPodStore()
	for i := range pods {
		s.receive(t, podtest.Executor(i, i, i%2 == 0))
	}
	templates, deltas := s.inUse()
	if per := deltas / pods; per > most {
		t.Errorf("%d bytes for each pod, want at most %d", per, most)
	}
	if templates != [3]int{1, 1, 1} {
		t.Errorf("%v templates for metadata, spec and status, want one each", templates)
	}
}

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

// Pods share decoded policies if they are equal. A pod whose containers have names of their own
// keeps only their wire form.
func TestPoliciesAreShared(t *testing.T) {
	s := newPodStore()
	received := func(i int, container string) *Pod {
		pod := podtest.Executor(i, 1, true)
		pod.Spec.Containers[0].Name = container
		return s.receive(t, pod)
	}
	if own := received(1, "own"); own.policies.spec != nil {
		t.Error("the policies of the only pod that has them are decoded, want their wire form")
	}
	second, third := received(2, "own"), received(3, "own")
	if second.policies != third.policies || second.policies.spec == nil {
		t.Error("pods with equal policies have two copies of them, want one that is decoded")
	}
}

// A decoder does not keep the memory that a large pod has needed, whether the pod was packed or
// decoded, and in each of its states.
func TestMemoryOfALargePod(t *testing.T) {
	for _, form := range []Form{Wire, Whole, Trimmed} {
		var last *Pod
		d := newDecoder(form, nil, func([]byte) Known { return Known{Pod: last} })
		for state := range 3 {
			pod := podtest.Executor(1, state, true)
			pod.Annotations["large"] = strings.Repeat(fmt.Sprint("state ", state), 40<<10)
			for i := range 2000 {
				pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: fmt.Sprint("init-", state, "-", i)})
			}
			pod.Status.Message = strings.Repeat(fmt.Sprint("message ", state), 40<<10)
			last = d.object(enveloped(t, pod)).(*Pod)
			kept := cap(d.rest) + cap(d.kept)
			for _, p := range []*packing.Packer{&d.metadata, &d.spec, &d.status} {
				kept += p.Memory()
			}
			if most := 4 * packing.LongestMemory; kept > most {
				t.Errorf("form %d, state %d: the decoder keeps %d bytes, want at most %d", form, state, kept, most)
			}
		}
	}
}

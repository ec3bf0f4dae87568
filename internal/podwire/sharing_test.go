// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

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

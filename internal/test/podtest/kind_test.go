// SPDX-License-Identifier: Apache-2.0

package podtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// The pods of a kind differ in their names, addresses, identifiers and times, also in the
// lengths of the texts, and a part of them is in another phase than Running.
func TestKindsVary(t *testing.T) {
	const pods = 100
	for _, kind := range podtest.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			names, ids, sizes, ips := map[string]bool{}, map[string]bool{}, map[int]bool{}, map[int]bool{}
			phases := map[corev1.PodPhase]int{}
			for i := range pods {
				pod := kind.Pod(i, 0)
				if !labels.SelectorFromSet(podtest.KindLabels()).Matches(labels.Set(pod.Labels)) {
					t.Fatalf("pod %d has the labels %v, want %v among them", i, pod.Labels, podtest.KindLabels())
				}
				for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
					if id := status.ContainerID; id != "" && ids[id] {
						t.Errorf("two containers have the id %s", id)
					} else {
						ids[id] = true
					}
				}
				names[pod.Name], sizes[pod.Size()], ips[len(pod.Status.PodIP)] = true, true, true
				phases[pod.Status.Phase]++
				if (pod.Spec.NodeName == "") != (pod.Status.Phase == corev1.PodPending) {
					t.Errorf("pod %d is %s on the node %q", i, pod.Status.Phase, pod.Spec.NodeName)
				}
			}
			if len(names) != pods || len(sizes) < pods/4 || len(ips) < 3 {
				t.Errorf("%d pods have %d names, %d sizes, and addresses of %d lengths", pods, len(names), len(sizes), len(ips))
			}
			for _, phase := range []corev1.PodPhase{corev1.PodPending, corev1.PodSucceeded, corev1.PodRunning} {
				if phases[phase] < 3 {
					t.Errorf("%d of %d pods are %s", phases[phase], pods, phase)
				}
			}
		})
	}
}

// A pod is the same each time, and each update of it changes its status or its metadata.
func TestKindUpdates(t *testing.T) {
	for _, kind := range podtest.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			for i := range 30 {
				before := kind.Pod(i, 0)
				if !bytes.Equal(encoded(t, before), encoded(t, kind.Pod(i, 0))) {
					t.Fatalf("pod %d is another when it is made again", i)
				}
				for updates := 1; updates < 6; updates++ {
					pod := kind.Pod(i, updates)
					if bytes.Equal(encoded(t, before), encoded(t, pod)) {
						t.Errorf("update %d of pod %d changes nothing", updates, i)
					}
					if pod.UID != before.UID || len(pod.Spec.Containers) != len(before.Spec.Containers) {
						t.Errorf("update %d of pod %d makes it another pod", updates, i)
					}
					if before.Spec.NodeName != "" && before.Spec.NodeName != pod.Spec.NodeName {
						t.Errorf("update %d moves pod %d to another node", updates, i)
					}
					before = pod
				}
			}
		})
	}
}

func encoded(t *testing.T, pod *corev1.Pod) []byte {
	t.Helper()
	raw, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The kinds have what their names say.
func TestKindShapes(t *testing.T) {
	pods := map[string]*corev1.Pod{}
	for _, kind := range podtest.Kinds {
		pods[kind.Name] = kind.Pod(0, 0)
	}
	if n := len(pods["driver"].Spec.Volumes); n != 7 {
		t.Errorf("a driver has %d volumes, want 7", n)
	}
	worker := pods["ray-worker"]
	if len(worker.Spec.InitContainers) != 1 || worker.Spec.Containers[0].LivenessProbe == nil || len(worker.Labels) < 15 {
		t.Errorf("a Ray worker has %d init containers, the probe %v and %d labels", len(worker.Spec.InitContainers), worker.Spec.Containers[0].LivenessProbe, len(worker.Labels))
	}
	if n := len(pods["ten-containers"].Spec.Containers); n != 10 {
		t.Errorf("a job has %d containers, want 10", n)
	}
}

// No two pods have the same value of one of the 60 variables.
func TestSixtyVariablesDiffer(t *testing.T) {
	kind := podtest.Kinds[slices.IndexFunc(podtest.Kinds, func(k podtest.Kind) bool { return k.Name == "sixty-variables" })]
	seen := map[string]bool{}
	for i := range 100 {
		env := kind.Pod(i, 0).Spec.Containers[0].Env
		if len(env) != 60 {
			t.Fatalf("pod %d has %d variables, want 60", i, len(env))
		}
		for _, e := range env {
			if len(e.Value) < 20 || len(e.Value) > 60 {
				t.Errorf("%s=%s has %d characters, want 20 to 60", e.Name, e.Value, len(e.Value))
			}
			if seen[e.Value] {
				t.Errorf("two variables have the value %s", e.Value)
			}
			seen[e.Value] = true
		}
	}
}

// Managed fields name the fields of the pod's creator and of the kubelet.
func TestKindManagedFields(t *testing.T) {
	for _, kind := range podtest.Kinds {
		pod := kind.Pod(0, 0)
		if len(pod.ManagedFields) != 2 {
			t.Fatalf("%s: %d entries, want 2", kind.Name, len(pod.ManagedFields))
		}
		for i, want := range []string{
			fmt.Sprintf(`"k:{\"name\":\"%s\"}"`, pod.Spec.Containers[0].Name),
			`"k:{\"type\":\"PodScheduled\"}":{".":{},"f:lastProbeTime":{}`,
		} {
			encoded, err := json.Marshal(pod.ManagedFields[i].FieldsV1)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(encoded) || !bytes.Contains(encoded, []byte(want)) {
				t.Errorf("%s: entry %d lacks %s:\n%s", kind.Name, i, want, encoded)
			}
		}
	}
}

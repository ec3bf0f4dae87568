// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"reflect"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// What a caller changes in a decoded pod does not change the pod, and no other caller sees it.
func TestDecodedPodsArePrivate(t *testing.T) {
	wire := newReceiver(none)
	object, err := decode(wire, enveloped(t, podtest.Executor(1, 1, true)))
	if err != nil {
		t.Fatal(err)
	}
	for name, pod := range map[string]*Pod{"wire form": object.(*Pod), "decoded": Of(podtest.Executor(1, 1, true))} {
		first, err := pod.Decode()
		if err != nil {
			t.Fatal(err)
		}
		want := first.DeepCopy()
		first.Labels["team"] = "another"
		first.Spec.Containers[0].Env[0].Value = "another"
		first.Status.Conditions[0].Reason = "another"
		second, err := pod.Decode()
		if err != nil || !reflect.DeepEqual(second, want) {
			t.Errorf("%s, %v: a later copy has what the caller of an earlier one has changed", name, err)
		}
		if first.ManagedFields != nil {
			t.Errorf("%s: a copy has managedFields, want none", name)
		}
		wantPrivateMetadata(t, name, pod, &want.ObjectMeta)
	}
}

// wantPrivateMetadata fails unless the metadata of a pod is a copy that equals want.
func wantPrivateMetadata(t *testing.T, name string, pod *Pod, want *metav1.ObjectMeta) {
	t.Helper()
	first, err := pod.Metadata()
	if err != nil || !reflect.DeepEqual(first, want) {
		t.Fatalf("%s: metadata %+v, %v, want %+v as in the pod", name, first, err, want)
	}
	first.Labels["team"], first.OwnerReferences = "another", nil
	if second, err := pod.Metadata(); err != nil || !reflect.DeepEqual(second, want) {
		t.Errorf("%s, %v: later metadata has what the caller of an earlier one has changed", name, err)
	}
}

// Lists and watches use one negotiator at once, while others decode its pods.
func TestConcurrentUse(t *testing.T) {
	negotiator := NewNegotiator(clientGo(), Wire, nil, nil, func(string) {})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				data := enveloped(t, podtest.Executor(i%3, i%5, i%2 == 0))
				want, err := decode(clientGo(), data)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := decode(negotiator, data)
				if err != nil {
					t.Error(err)
					return
				}
				pod := got.(*Pod)
				if decoded, err := pod.Decode(); err != nil || decoded.ManagedFields != nil || !podtest.Equal(decoded, withoutManagedFields(want)) {
					t.Errorf("pod %d differs from that of client-go, %v", i, err)
				}
				reader := Borrow()
				if read := reader.Read(pod); read.Name != pod.Name || read.Status.PodIP != want.(*corev1.Pod).Status.PodIP {
					t.Errorf("pod %d is read as %s at %s", i, read.Name, read.Status.PodIP)
				}
				reader.GiveBack()
			}
		})
	}
	wg.Wait()
}

func withoutManagedFields(object runtime.Object) *corev1.Pod {
	pod := object.(*corev1.Pod)
	pod.ManagedFields = nil
	return pod
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

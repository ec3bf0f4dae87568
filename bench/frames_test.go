// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// The pods that the figures are about have the size that is said of them.
func TestPodIsRealistic(t *testing.T) {
	pod := podtest.Executor(0, 1, true)
	if size := pod.Size(); size < 6_500 || size > 7_500 {
		t.Errorf("a pod has %d bytes of protobuf, want about 7,000", size)
	}
	pod.ManagedFields = nil
	if size := pod.Size(); size < 3_700 || size > 4_500 {
		t.Errorf("without managedFields a pod has %d bytes of protobuf, want about 4,000", size)
	}
	if n := len(pod.Spec.Containers[0].Env); n != 25 {
		t.Errorf("a pod has %d environment variables, want 25", n)
	}
}

// A frame made by overwriting bytes is the frame that encoding the pod makes.
func TestTemplateEqualsEncoding(t *testing.T) {
	const pods, updates = 300, 1_000
	protobuf := newScript(pods, updates, 1)
	for _, s := range []*script{protobuf, protobuf.inJSON()} {
		for _, i := range []int{0, 1, 9, 99, 123, 299} {
			if want, got := s.frame(watch.Added, podtest.Executor(i, i+1, true)), s.appendAdded(nil, i); !bytes.Equal(got, want) {
				t.Errorf("%s: frame of pod %d differs from the encoded pod", s.media, i)
			}
		}
		for _, j := range []int{0, 1, 299, 300, 777} {
			i, ready := s.updated(j)
			if want, got := s.frame(watch.Modified, podtest.Executor(i, pods+1+j, ready)), s.appendUpdate(nil, j); !bytes.Equal(got, want) {
				t.Errorf("%s: frame of update %d differs from the encoded pod", s.media, j)
			}
		}
	}
}

// Updates go through all pods before one has its next, and each changes
// something.
func TestUpdatesAreSpread(t *testing.T) {
	for _, pods := range []int{1, 50, 7919, 3 * 7919} {
		s := newScript(pods, 2*pods, 1)
		ready := map[int]bool{}
		for j := range s.updates {
			i, now := s.updated(j)
			before, seen := ready[i]
			if first := j < pods; first == seen {
				t.Fatalf("%d pods: update %d is of pod %d, which was seen: %v", pods, j, i, seen)
			}
			if seen && before == now {
				t.Fatalf("%d pods: update %d changes nothing", pods, j)
			}
			ready[i] = now
		}
	}
}

// client-go decodes a page that the script has assembled.
func TestListDecodes(t *testing.T) {
	s := newScript(20, 0, 1)
	before, after := s.list(page{from: 5, to: 15, of: 20}, "15")
	encoded := before
	for i := 5; i < 15; i++ {
		encoded = s.item.appendPod(encoded, i, i+1, appID)
	}
	encoded = append(encoded, after...)

	var list corev1.PodList
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(encoded, nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 10 || list.Continue != "15" || *list.RemainingItemCount != 5 || list.ResourceVersion != podtest.VersionText(20) {
		t.Fatalf("decoded %d pods, metadata %+v", len(list.Items), list.ListMeta)
	}
	want := podtest.Executor(7, 8, true)
	want.APIVersion, want.Kind = "", ""
	if diff := cmp.Diff(*want, list.Items[2]); diff != "" {
		t.Errorf("third pod of the page (-want +got):\n%s", diff)
	}
}

// Each pod of a script with several applications has the label of its application.
func TestTemplateOfAnotherApplication(t *testing.T) {
	s := newScript(30, 0, 3)
	want := podtest.Executor(4, 5, true)
	want.Labels["spark-app-selector"] = nthApp(1)
	for i := range want.Spec.Containers[0].Env {
		if env := &want.Spec.Containers[0].Env[i]; env.Value == appID {
			env.Value = nthApp(1)
		}
	}
	if got, want := s.appendAdded(nil, 4), protobufFrame(watch.Added, want); !bytes.Equal(got, want) {
		t.Errorf("the frame of pod 4 has %d bytes and differs from the encoded pod of %d bytes, want them equal", len(got), len(want))
	}
}

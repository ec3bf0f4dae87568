// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"
	goruntime "runtime"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/executorpods/watchsource/internal/samplepod"
)

func inJSON(tb testing.TB, object runtime.Object) []byte {
	tb.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	data, err := runtime.Encode(info.Serializer, object)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func read(t *testing.T, r *reader, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	frame := envelope(t, pod)
	got, ok := r.object(frame).(*corev1.Pod)
	clear(frame) // what is remembered is no part of it
	if !ok {
		t.Fatal("not understood")
	}
	return got
}

// The states of a pod share its spec, and different pods what they have in
// common.
func TestSharing(t *testing.T) {
	r := newReader(Full)
	first, second := read(t, r, samplepod.Executor(1, 1)), read(t, r, samplepod.Executor(1, 2))
	if &first.Spec.Containers[0] != &second.Spec.Containers[0] {
		t.Error("two states of a pod do not share its spec")
	}
	other := read(t, r, samplepod.Executor(2, 1))
	if &first.Spec.Containers[0] == &other.Spec.Containers[0] {
		t.Error("two pods share a spec")
	}
	if unsafe.StringData(first.Status.ContainerStatuses[0].ImageID) != unsafe.StringData(other.Status.ContainerStatuses[0].ImageID) {
		t.Error("two pods do not share the id of their image")
	}
	if &first.OwnerReferences[0] != &other.OwnerReferences[0] {
		t.Error("two pods do not share their owner")
	}

	changed := samplepod.Executor(1, 3)
	changed.Spec.Containers[0].Image = "another"
	if got := read(t, r, changed); got.Spec.Containers[0].Image != "another" {
		t.Error("a pod was read with the spec that it had before")
	}
	goruntime.KeepAlive(first)
	goruntime.KeepAlive(second)
}

// What is remembered about pods is forgotten with them.
func TestForgetting(t *testing.T) {
	r := newReader(Full)
	for i := range 4 * leastKnown {
		pod := samplepod.Executor(i, 1)
		pod.Spec = corev1.PodSpec{NodeName: fmt.Sprint(i)}
		read(t, r, pod)
		if i%leastKnown == leastKnown-1 {
			goruntime.GC()
			goruntime.GC()
		}
	}
	if n := len(r.specs.known); n > leastKnown+1 {
		t.Errorf("%d pods are remembered, none is held", n)
	}
}

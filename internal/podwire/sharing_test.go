// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"reflect"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/executorpods/watchsource/internal/podtest"
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

func read(t *testing.T, r *decoder, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	frame := envelope(t, pod)
	got, ok := r.object(frame).(*corev1.Pod)
	clear(frame) // the decoder must have kept no part of it
	if !ok {
		t.Fatal("the pod is not decoded, want it decoded")
	}
	return got
}

// The states of a pod share what did not change.
func TestSharingBetweenStates(t *testing.T) {
	for _, form := range forms {
		r := newDecoder(form, nil)
		first, second := read(t, r, podtest.Executor(1, 1, true)), read(t, r, podtest.Executor(1, 2, false))
		for part, shared := range map[string]bool{
			"labels":               reflect.ValueOf(first.Labels).Pointer() == reflect.ValueOf(second.Labels).Pointer(),
			"name":                 unsafe.StringData(first.Name) == unsafe.StringData(second.Name),
			"containers":           form != Full || &first.Spec.Containers[0] == &second.Spec.Containers[0],
			"addresses":            &first.Status.PodIPs[0] == &second.Status.PodIPs[0],
			"state of a container": first.Status.ContainerStatuses[0].State.Running == second.Status.ContainerStatuses[0].State.Running,
		} {
			if !shared {
				t.Errorf("%v: two states of a pod do not share its %s, want it shared", form, part)
			}
		}
		if first.Status.ContainerStatuses[0].Ready == second.Status.ContainerStatuses[0].Ready {
			t.Errorf("%v: two states have the same readiness of the container, want it read anew", form)
		}
		goruntime.KeepAlive(first)
	}
}

// stringsIn returns the strings of a decoded JSON value, keys included.
func stringsIn(value any) []string {
	var all []string
	switch v := value.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, item := range v {
			all = append(all, stringsIn(item)...)
		}
	case map[string]any:
		for key, item := range v {
			all = append(append(all, key), stringsIn(item)...)
		}
	}
	return all
}

// decoderThatKeeps returns a decoder in whose string table no other string of the
// pods has the bucket of text. The table's seed is random, and with about one seed
// in seventy another string has it.
func decoderThatKeeps(t *testing.T, text string, pods ...*corev1.Pod) *decoder {
	t.Helper()
	var others []string
	for _, pod := range pods {
		var decoded any
		if err := json.Unmarshal(inJSON(t, pod), &decoded); err != nil {
			t.Fatal(err)
		}
		others = append(others, stringsIn(decoded)...)
	}
	for {
		r := newDecoder(Full, nil)
		slot := func(s string) uint64 { return maphash.String(r.strings.seed, s) % minStringBuckets }
		if !slices.ContainsFunc(others, func(s string) bool { return s != text && slot(s) == slot(text) }) {
			return r
		}
	}
}

// Different pods share what they have in common.
func TestSharingBetweenPods(t *testing.T) {
	alike := func(id int) *corev1.Pod {
		pod := podtest.Executor(id, 1, true)
		delete(pod.Annotations, "cni.projectcalico.org/podIP") // the only annotation that differs
		return pod
	}
	one, other := alike(1), alike(2)
	r := decoderThatKeeps(t, one.Status.ContainerStatuses[0].ImageID, one, other)
	one, other = read(t, r, one), read(t, r, other)
	if &one.Spec.Containers[0] == &other.Spec.Containers[0] {
		t.Error("two pods share a spec, want two")
	}
	a, b := one.Status.ContainerStatuses[0], other.Status.ContainerStatuses[0]
	for part, shared := range map[string]bool{
		"the id of their image": unsafe.StringData(a.ImageID) == unsafe.StringData(b.ImageID),
		"mounts":                &a.VolumeMounts[0] == &b.VolumeMounts[0],
		"their owner":           &one.OwnerReferences[0] == &other.OwnerReferences[0],
		"annotations":           reflect.ValueOf(one.Annotations).Pointer() == reflect.ValueOf(other.Annotations).Pointer(),
	} {
		if !shared {
			t.Errorf("two pods do not share %s, want it shared", part)
		}
	}
}

// A pod is not taken for another, should their UIDs have one hash.
func TestPodsOfOneHash(t *testing.T) {
	r := newDecoder(Full, nil)
	one, other := podtest.Executor(1, 1, true), podtest.Executor(2, 1, true)
	first := read(t, r, one)
	s := &r.known
	s.known[maphash.String(s.seed, string(other.UID))] = s.known[maphash.String(s.seed, string(one.UID))]
	if known, _ := s.of([]byte(one.UID)); &known.pod != first {
		t.Error("a pod that was decoded before is not found, want it found")
	}
	if known, _ := s.of([]byte(other.UID)); known != &noState {
		t.Errorf("%s is taken for %s, want no state found", other.Name, known.pod.Name)
	}
	goruntime.KeepAlive(first)
}

// The decoder forgets pods that are garbage.
func TestForgetting(t *testing.T) {
	r := newDecoder(Full, nil)
	for i := range 4 * leastKnown {
		pod := podtest.Executor(i, 1, true)
		pod.Spec = corev1.PodSpec{NodeName: fmt.Sprint(i)}
		read(t, r, pod)
		if i%leastKnown == leastKnown-1 {
			goruntime.GC()
			goruntime.GC()
		}
	}
	if n := len(r.known.known); n > leastKnown+1 {
		t.Errorf("%d pods are remembered, want at most %d because none is in use", n, leastKnown+1)
	}
}

// If a store keeps the name of a pod but not the pod, as a store without pods does, the next
// states have the same strings, and a spec that has not changed is not decoded again.
func TestDroppedPods(t *testing.T) {
	r := newDecoder(Dropped, nil)
	state := func(version int) *corev1.Pod {
		pod := podtest.Executor(1, version, true)
		pod.Spec.InitContainers = []corev1.Container{{Name: "sidecar", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}
		return pod
	}
	name := read(t, r, state(1)).Name
	for version := 2; version < 5; version++ {
		goruntime.GC() // the pod, but not its name
		got := read(t, r, state(version))
		want := state(version)
		Trimmed.Trim(want)
		if !reflect.DeepEqual(got.Spec, want.Spec) || got.ResourceVersion != want.ResourceVersion {
			t.Errorf("state %d has the spec %+v, want %+v", version, got.Spec, want.Spec)
		}
		if unsafe.StringData(got.Name) != unsafe.StringData(name) {
			t.Errorf("state %d has another copy of the name, want the one that is held", version)
		}
	}

	goruntime.GC()
	_, dropped := r.known.of([]byte(state(1).UID))
	if dropped == nil {
		t.Fatal("nothing is remembered of the pod, want its spec")
	}
	dropped.nodeName = "remembered"
	if got := read(t, r, state(5)).Spec.NodeName; got != "remembered" {
		t.Errorf("the spec of a later state is on the node %q, want it taken from what is remembered", got)
	}
	goruntime.GC()
	moved := state(6)
	moved.Spec.NodeName = "moved"
	if got := read(t, r, moved).Spec.NodeName; got != "moved" {
		t.Errorf("a changed spec is on the node %q, want it decoded", got)
	}
	goruntime.KeepAlive(name)

	goruntime.GC()
	goruntime.GC()
	r.known.forget()
	if n := len(r.known.known); n != 0 {
		t.Errorf("%d pods are remembered after their names are dropped, want none", n)
	}
}

// A pod that is kept is shared itself, and nothing else of it is remembered.
func TestKeptPods(t *testing.T) {
	r := newDecoder(Trimmed, nil)
	var kept []*corev1.Pod
	for version := range 4 {
		kept = append(kept, read(t, r, podtest.Executor(1, version, true)))
		goruntime.GC()
	}
	if _, dropped := r.known.of([]byte(kept[0].UID)); dropped != nil {
		t.Errorf("%+v is remembered beside the pod, want nothing", dropped)
	}
	goruntime.KeepAlive(kept)
}

// The name of a pod may change, because damaged data has another one, and its length with it.
func TestDroppedPodsOfOtherNames(t *testing.T) {
	r := newDecoder(Dropped, nil)
	var names []string
	for _, name := range []string{"long-name-of-a-pod", "short", "", "another-long-name", strings.Repeat("x", 1000)} {
		pod := podtest.Executor(1, 1, true)
		pod.Name = name
		got := read(t, r, pod)
		if got.Name != name || got.UID != pod.UID {
			t.Errorf("got %q and %q, want %q and %q", got.Name, got.UID, name, pod.UID)
		}
		names = append(names, got.Name, string(got.UID))
		goruntime.GC()
	}
	goruntime.KeepAlive(names)
}

// Names and UIDs of any length, also those for which the runtime makes no allocation.
func TestDroppedPodsOfAnyLength(t *testing.T) {
	r := newDecoder(Dropped, nil)
	for length := range 40 {
		for name := range length + 1 {
			pod := podtest.Executor(1, 1, true)
			pod.Name, pod.UID = strings.Repeat("n", name), types.UID(strings.Repeat("u", length-name))
			for range 2 {
				if got := read(t, r, pod); got.Name != pod.Name || got.UID != pod.UID {
					t.Errorf("got %q and %q, want %q and %q", got.Name, got.UID, pod.Name, pod.UID)
				}
			}
		}
	}
}

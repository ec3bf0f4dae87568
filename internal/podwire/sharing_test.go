// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
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

// wholeForms are those in which the states of a pod share their parts. A Summary shares
// nothing, because its receiver holds no pod.
var wholeForms = []Form{Full, Trimmed}

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
	got, ok := r.object(frame, nil).(*corev1.Pod)
	clear(frame) // the decoder must have kept no part of it
	if !ok {
		t.Fatal("the pod is not decoded, want it decoded")
	}
	return got
}

// The states of a pod share what did not change.
func TestSharingBetweenStates(t *testing.T) {
	for _, form := range wholeForms {
		r := newDecoder(form, nil, nil)
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
// pods has the bucket of text. The table's seed is random, and with some seeds another string
// has it.
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
		r := newDecoder(Full, nil, nil)
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
	r := newDecoder(Full, nil, nil)
	one, other := podtest.Executor(1, 1, true), podtest.Executor(2, 1, true)
	first := read(t, r, one)
	s := &r.known
	s.known[maphash.String(s.seed, string(other.UID))] = s.known[maphash.String(s.seed, string(one.UID))]
	if known := s.of([]byte(one.UID)); &known.pod != first {
		t.Error("a pod that was decoded before is not found, want it found")
	}
	if known := s.of([]byte(other.UID)); known != &noState {
		t.Errorf("%s is taken for %s, want no state found", other.Name, known.pod.Name)
	}
	goruntime.KeepAlive(first)
}

// The decoder forgets pods that are garbage.
func TestForgetting(t *testing.T) {
	r := newDecoder(Full, nil, nil)
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

// A receiver does not keep the pods.
type receiver struct{ pods map[types.UID]CachedPod }

func (r *receiver) Lookup(uid []byte) CachedPod { return r.pods[types.UID(uid)] }

func (r *receiver) Set(uid types.UID, spec CachedSpec) {
	if pod, ok := r.pods[uid]; ok {
		pod.Spec = spec
		r.pods[uid] = pod
	}
}

func (r *receiver) receive(pod *corev1.Pod) {
	r.pods[pod.UID] = CachedPod{Name: pod.Name, UID: pod.UID, Spec: r.pods[pod.UID].Spec}
}

// eachCached runs a test with each form that has a cache.
func eachCached(t *testing.T, test func(t *testing.T, d *decoder, r *receiver, form Form)) {
	for _, form := range []Form{Trimmed, Summary} {
		t.Run(form.String(), func(t *testing.T) {
			r := &receiver{pods: map[types.UID]CachedPod{}}
			test(t, newDecoder(form, nil, r), r, form)
		})
	}
}

func executorWithSidecar(i, version int) *corev1.Pod {
	pod := podtest.Executor(i, version, true)
	pod.Spec.NodeName = "node-1"
	pod.Spec.InitContainers = []corev1.Container{{Name: "sidecar", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}
	return pod
}

// If the receiver does not keep the pods, the next state of a pod has the strings that the
// receiver holds, and a spec that has not changed is not decoded again.
func TestSpecCache(t *testing.T) {
	eachCached(t, func(t *testing.T, d *decoder, r *receiver, form Form) {
		first := read(t, d, executorWithSidecar(1, 1))
		r.receive(first)
		name, uid := first.Name, first.UID
		for version := 2; version < 5; version++ {
			goruntime.GC() // the pod
			got, want := read(t, d, executorWithSidecar(1, version)), executorWithSidecar(1, version)
			form.Trim(want)
			if !reflect.DeepEqual(got.Spec, want.Spec) || got.ResourceVersion != want.ResourceVersion {
				t.Errorf("state %d has the spec %+v, want %+v", version, got.Spec, want.Spec)
			}
			if unsafe.StringData(got.Name) != unsafe.StringData(name) {
				t.Errorf("state %d has another copy of the name, want the one that the receiver holds", version)
			}
			r.receive(got)
			d.cacheSpecs()
		}

		cached := r.pods[uid]
		cached.Spec.spec = &trimmedSpec{nodeName: "cached"}
		r.pods[uid] = cached
		goruntime.GC()
		if got := read(t, d, executorWithSidecar(1, 5)).Spec.NodeName; got != "cached" {
			t.Errorf("the spec of a later state is on the node %q, want it taken from the cache", got)
		}
		goruntime.GC()
		for range 2 {
			moved := executorWithSidecar(1, 6)
			moved.Spec.NodeName = "moved"
			if got := read(t, d, moved).Spec.NodeName; got != "moved" {
				t.Errorf("a changed spec is on the node %q, want moved", got)
			}
			d.cacheSpecs()
			goruntime.GC()
		}
	})
}

// Pods with equal specs share one in the cache, and others do not.
func TestSharingBetweenCachedSpecs(t *testing.T) {
	for name, change := range map[string]func(*corev1.PodSpec){
		"nothing":            func(*corev1.PodSpec) {},
		"a part not kept":    func(s *corev1.PodSpec) { s.Hostname = "another" },
		"node":               func(s *corev1.PodSpec) { s.NodeName = "another" },
		"restart policy":     func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyAlways },
		"no init containers": func(s *corev1.PodSpec) { s.InitContainers = nil },
		"init container":     func(s *corev1.PodSpec) { s.InitContainers[0].Name = "another" },
		"containers":         func(s *corev1.PodSpec) { s.Containers = append(s.Containers, corev1.Container{Name: "another"}) },
	} {
		eachCached(t, func(t *testing.T, d *decoder, r *receiver, _ Form) {
			one, other := executorWithSidecar(1, 1), executorWithSidecar(2, 1)
			change(&other.Spec)
			for _, pod := range []*corev1.Pod{one, other} {
				r.receive(read(t, d, pod))
			}
			d.cacheSpecs()
			shared, want := r.pods[one.UID].Spec.spec == r.pods[other.UID].Spec.spec, name == "nothing" || name == "a part not kept"
			if shared != want {
				t.Errorf("%s differs: the cached specs are one: %t, want %t", name, shared, want)
			}
		})
	}
}

// The specs of a list are cached once the receiver has the list.
func TestSpecsOfAList(t *testing.T) {
	eachCached(t, func(t *testing.T, d *decoder, r *receiver, _ Form) {
		const pods = 200
		var listed []*corev1.Pod
		for i := range pods {
			listed = append(listed, read(t, d, executorWithSidecar(i, 1)))
		}
		for _, pod := range listed {
			r.receive(pod)
		}
		s := (&Negotiator{decoder: d}).Stream(io.NopCloser(strings.NewReader("")))
		s.ListPassed()
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("the stream ends with %v, want io.EOF", err)
		}
		for _, pod := range listed {
			if r.pods[pod.UID].Spec.spec == nil {
				t.Fatalf("the spec of %s is not cached, want it cached", pod.Name)
			}
		}
		if d.newSpecs.waiting != nil {
			t.Error("the memory for the specs of the list is kept, want it released")
		}
	})
}

// A pod that the receiver does not hold, or whose name differs, gets new strings.
func TestNamesThatAreNotCached(t *testing.T) {
	eachCached(t, func(t *testing.T, d *decoder, r *receiver, _ Form) {
		for _, name := range []string{"long-name-of-a-pod", "short", "", "another-long-name", strings.Repeat("x", 1000)} {
			pod := podtest.Executor(1, 1, true)
			pod.Name = name
			got := read(t, d, pod)
			if got.Name != name || got.UID != pod.UID {
				t.Errorf("got %q and %q, want %q and %q", got.Name, got.UID, name, pod.UID)
			}
			r.receive(got)
		}
	})
}

// A reader that keeps no pod gets each pod of a stream in the memory of the one before it.
func TestMemoryIsReused(t *testing.T) {
	for _, form := range forms {
		var stream []byte
		for i := range 3 {
			stream = append(stream, framed(eventOf(t, "MODIFIED", podtest.Executor(i, 1, true)))...)
		}
		s := NewNegotiator(clientGo(), form, nil, nil, func(string) {}).Stream(io.NopCloser(bytes.NewReader(stream)))
		next := func() *corev1.Pod {
			event, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			return event.Object.(*corev1.Pod)
		}
		listed := next()
		s.ListPassed()
		second := next()
		third := next()
		if listed == second || listed.Name != podtest.Executor(0, 1, true).Name {
			t.Errorf("%v: a pod of the list was overwritten with %s, want it kept", form, listed.Name)
		}
		if reused := second == third; reused != (form == Summary) {
			t.Errorf("%v: the memory of a pod is reused: %t, want %t", form, reused, form == Summary)
		}
	}
}

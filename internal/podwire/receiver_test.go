// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"reflect"
	"slices"
	"testing"
	"weak"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podstate/choice"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// memory is what a receiver tells its decoder of a pod.
type memory string

const (
	none    memory = "nothing"
	last    memory = "the last state"
	oldest  memory = "the oldest state"
	another memory = "a state of another pod"
)

var memories = []memory{none, last, oldest, another}

// A receiver keeps pods as a store does, and beside each what client-go has decoded.
type receiver struct {
	*Negotiator
	memory memory
	// reader reads all pods into one memory.
	reader Reader

	byUID map[types.UID]*received
	// kept has the newest of all pods, and the first of them.
	kept []received
}

// received is a pod in both forms.
type received struct {
	pod *Pod
	// want is the pod that client-go has decoded, without managedFields.
	want *corev1.Pod
	was  podstate.Known
}

// maxKept is the number of earlier pods that are compared again after each pod.
const maxKept = 2

func newReceiver(m memory) *receiver {
	r := &receiver{memory: m, byUID: map[types.UID]*received{}}
	known := r.known
	if m == none {
		known = nil
	}
	r.Negotiator = NewNegotiator(clientGo(), Wire, nil, known, func(string) {})
	return r
}

func (r *receiver) known(uid []byte) Known {
	of := r.byUID[types.UID(uid)]
	if r.memory == another {
		of = r.newestBeside(types.UID(uid))
	}
	if of == nil {
		return Known{}
	}
	return Known{Identity: of.pod.Identity, Pod: of.pod}
}

func (r *receiver) newestBeside(uid types.UID) *received {
	for i := len(r.kept) - 1; i >= 0; i-- {
		if r.kept[i].pod.UID != uid {
			return &r.kept[i]
		}
	}
	return nil
}

// receive compares a pod with what client-go has decoded, and keeps it.
func (r *receiver) receive(t *testing.T, pod *Pod, decoded *corev1.Pod) {
	t.Helper()
	now := received{pod: pod, want: decoded.DeepCopy()}
	now.want.ManagedFields = nil
	r.compareParts(t, now)
	r.compareReading(t, &now)
	r.compareMetadata(t, now)
	r.keep(now)
}

func (r *receiver) keep(now received) {
	if before := r.byUID[now.pod.UID]; before == nil || r.memory != oldest {
		r.byUID[now.pod.UID] = &now
	}
	if r.kept = append(r.kept, now); len(r.kept) > maxKept {
		r.kept = slices.Delete(r.kept, 1, 2)
	}
}

// recheck decodes the pods that were received earlier. They must not have changed.
func (r *receiver) recheck(t *testing.T) {
	t.Helper()
	for _, was := range r.kept {
		if got, err := was.pod.Decode(); err != nil || !reflect.DeepEqual(got, was.want) {
			t.Fatalf("knowing %s, an earlier pod, %v:\ngot  %+v\nwant %+v", r.memory, err, got, was.want)
		}
	}
}

func (r *receiver) compareParts(t *testing.T, now received) {
	t.Helper()
	id := Identity{Namespace: now.want.Namespace, Name: now.want.Name, UID: now.want.UID, ResourceVersion: now.want.ResourceVersion}
	if now.pod.Identity != id || now.pod.IsPartial() {
		t.Fatalf("knowing %s: got %+v, partial %t, want %+v", r.memory, now.pod.Identity, now.pod.IsPartial(), id)
	}
	if got, err := now.pod.Decoded(); err != nil || !reflect.DeepEqual(got, now.want) {
		t.Fatalf("knowing %s, Decoded, %v:\ngot  %+v\nwant %+v", r.memory, err, got, now.want)
	}
	trimmed := now.want.DeepCopy()
	trimmed.Spec = podtest.TrimmedSpec(trimmed)
	if got, err := now.pod.Trimmed(); err != nil || !reflect.DeepEqual(got, trimmed) {
		t.Fatalf("knowing %s, Trimmed, %v:\ngot  %+v\nwant %+v", r.memory, err, got, trimmed)
	}
	compareEntries(t, "label", now.pod.Label, now.want.Labels)
	compareEntries(t, "annotation", now.pod.Annotation, now.want.Annotations)
	for _, s := range selectorsFor(now.want.Labels) {
		if got, want := now.pod.Matches(s), s.Matches(labels.Set(now.want.Labels)); got != want {
			t.Fatalf("knowing %s: %q selects %q: %t, want %t", r.memory, s, now.want.Labels, got, want)
		}
	}
}

func compareEntries(t *testing.T, kind string, entry func(string) (string, bool), want map[string]string) {
	t.Helper()
	keys := []string{"", "no such key", "spark-exec-i"}
	for key := range want {
		keys = append(keys, key, key+"x", key[:len(key)/2])
	}
	for _, key := range keys {
		value, ok := entry(key)
		if of, is := want[key]; value != of || ok != is {
			t.Fatalf("%s %q: %q, %t, want %q, %t", kind, key, value, ok, of, is)
		}
	}
}

// selectorsFor returns selectors of which some select the labels and some do not.
func selectorsFor(set map[string]string) []labels.Selector {
	selectors := []labels.Selector{labels.Everything(), labels.SelectorFromValidatedSet(set), selectorOf("missing", selection.NotIn, "a"), selectorOf("missing", selection.Exists)}
	for key, value := range set {
		selectors = append(selectors, labels.SelectorFromValidatedSet(labels.Set{key: value}), labels.SelectorFromValidatedSet(labels.Set{key: value + "x"}),
			selectorOf(key, selection.Exists), selectorOf(key, selection.DoesNotExist), selectorOf(key, selection.NotEquals, value), selectorOf(key, selection.GreaterThan, "1"))
	}
	return selectors
}

// selectorOf returns a selector, and the one for all pods if it would not be valid.
func selectorOf(key string, op selection.Operator, values ...string) labels.Selector {
	r, err := labels.NewRequirement(key, op, values)
	if err != nil {
		return labels.Everything()
	}
	return labels.NewSelector().Add(*r)
}

// compareReading compares what an executor is made of, and the executor.
func (r *receiver) compareReading(t *testing.T, now *received) {
	t.Helper()
	got, want := r.reader.Read(now.pod), now.want
	if now.pod.decoded == nil {
		want = executorPart(want)
	}
	if !apiequality.Semantic.DeepEqual(got, want) {
		t.Fatalf("knowing %s, Read:\ngot  %+v\nwant %+v", r.memory, got, want)
	}
	before := podstate.Known{}
	if of := r.byUID[now.pod.UID]; of != nil {
		before = of.was
	}
	plainPod := now.want
	for i, name := range containersOf(now.want) {
		for _, only := range []bool{false, true}[:2-min(i, 1)] {
			rules := podstate.Rules{Executor: choice.Named(name), ContainerOnly: only}
			for _, known := range []podstate.Known{{}, before} {
				forGot, forWant := known, known
				read, plain := rules.Read(got, &forGot), rules.Read(plainPod, &forWant)
				if !reflect.DeepEqual(read, plain) || !reflect.DeepEqual(forGot, forWant) {
					t.Fatalf("knowing %s, the executor in the container %q:\ngot  %+v\nwant %+v", r.memory, name, read, plain)
				}
				now.was = podstate.Known{
					Seen: true, ResourceVersion: now.want.ResourceVersion, CreatedAt: now.want.CreationTimestamp.Time,
					Reading: plain.Reading, Ends: plain.Ends,
				}
			}
		}
	}
}

// compareMetadata checks that pods with the same packed metadata have equal metadata, and that a
// pod whose metadata has not changed shares the metadata of the last state.
func (r *receiver) compareMetadata(t *testing.T, now received) {
	t.Helper()
	for _, was := range r.kept {
		a, b := was.want.ObjectMeta, now.want.ObjectMeta
		a.ResourceVersion, b.ResourceVersion = "", ""
		if now.pod.SameMetadata(was.pod) && !reflect.DeepEqual(a, b) {
			t.Fatalf("knowing %s: SameMetadata is true for\n%+v\nand\n%+v", r.memory, a, b)
		}
	}
}

// compare compares an object with what client-go has decoded.
func (r *receiver) compare(t *testing.T, got, want runtime.Object) {
	t.Helper()
	if internal, ok := got.(*metainternal.List); ok {
		r.compareList(t, internal, want)
		return
	}
	if pod, ok := From(got); ok {
		decoded, ok := want.(*corev1.Pod)
		if !ok {
			t.Fatalf("knowing %s: got a pod, want a %T", r.memory, want)
		}
		r.receive(t, pod, decoded)
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("knowing %s:\ngot  %+v\nwant %+v", r.memory, got, want)
	}
}

func (r *receiver) compareList(t *testing.T, got *metainternal.List, want runtime.Object) {
	t.Helper()
	list, ok := want.(*corev1.PodList)
	if !ok || !reflect.DeepEqual(got.ListMeta, list.ListMeta) || len(got.Items) != len(list.Items) {
		t.Fatalf("knowing %s: a list of %d pods, %+v, want that of client-go:\n%+v", r.memory, len(got.Items), got.ListMeta, want)
	}
	for i, item := range got.Items {
		r.receive(t, item.(*Pod), &list.Items[i])
	}
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

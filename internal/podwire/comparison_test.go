// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
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
	reader Reader // reads all pods into one memory

	byUID map[types.UID]*received
	kept  []received // the newest of all pods, and the first of them
}

// received is a pod in both forms.
type received struct {
	pod  *Pod
	want *corev1.Pod // what client-go has decoded, without managedFields
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
			rules := podstate.Rules{Container: name, ContainerOnly: only}
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

func containersOf(pod *corev1.Pod) []string {
	names := []string{podtest.ExecutorContainer}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			names = append(names, statuses[i].Name)
		}
	}
	return names[:min(len(names), 3)]
}

func policiesOf(containers []corev1.Container) (policies []corev1.Container) {
	for _, c := range containers {
		policies = append(policies, corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules})
	}
	return policies
}

// executorPart returns the part of a pod that Reader reads.
func executorPart(pod *corev1.Pod) *corev1.Pod {
	part := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Spec: corev1.PodSpec{
			NodeName: pod.Spec.NodeName, RestartPolicy: pod.Spec.RestartPolicy,
			InitContainers: policiesOf(pod.Spec.InitContainers), Containers: policiesOf(pod.Spec.Containers),
		},
		Status: corev1.PodStatus{
			Phase: pod.Status.Phase, Reason: pod.Status.Reason, Message: pod.Status.Message, PodIP: pod.Status.PodIP,
			ContainerStatuses: statusParts(pod.Status.ContainerStatuses), InitContainerStatuses: statusParts(pod.Status.InitContainerStatuses),
		},
	}
	for _, c := range pod.Status.Conditions {
		part.Status.Conditions = append(part.Status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
	}
	return part
}

func statusParts(statuses []corev1.ContainerStatus) (parts []corev1.ContainerStatus) {
	for _, s := range statuses {
		parts = append(parts, corev1.ContainerStatus{
			Name: s.Name, State: s.State, LastTerminationState: s.LastTerminationState, RestartCount: s.RestartCount, ContainerID: s.ContainerID,
		})
	}
	return parts
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

// comparison compares client-go's decoder with the decoder of this package, for receivers that
// know different states of a pod.
type comparison struct {
	fallback  runtime.ClientNegotiator
	receivers []*receiver
	decoding  map[Form]*Negotiator // for receivers of decoded pods
}

func newComparison(memories ...memory) *comparison {
	c := &comparison{fallback: clientGo(), decoding: map[Form]*Negotiator{}}
	for _, form := range []Form{Whole, Trimmed} {
		c.decoding[form] = NewNegotiator(clientGo(), form, nil, nil, func(string) {})
	}
	for _, m := range memories {
		c.receivers = append(c.receivers, newReceiver(m))
	}
	return c
}

// object decodes an object for each receiver.
func (c *comparison) object(t *testing.T, data []byte) {
	t.Helper()
	want, wantErr := decode(c.fallback, data)
	for _, r := range c.receivers {
		got, err := decode(r, data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("knowing %s: error %v, want that of client-go: %v", r.memory, err, wantErr)
		}
		r.compare(t, got, want)
		r.recheck(t)
	}
	for _, form := range []Form{Whole, Trimmed} {
		got, err := decode(c.decoding[form], data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("in form %d: error %v, want that of client-go: %v", form, err, wantErr)
		}
		compareDecoded(t, form, got, want)
	}
}

// compareDecoded compares the decoded pods of an object with those of client-go.
func compareDecoded(t *testing.T, form Form, got, want runtime.Object) {
	t.Helper()
	var pods []*Pod
	var wanted []*corev1.Pod
	switch want := want.(type) {
	case *corev1.Pod:
		pod, _ := From(got)
		pods, wanted = []*Pod{pod}, []*corev1.Pod{want}
	case *corev1.PodList:
		objects, err := meta.ExtractList(got)
		if err != nil || len(objects) != len(want.Items) {
			t.Fatalf("in form %d: %d pods, %v, want %d", form, len(objects), err, len(want.Items))
		}
		for i := range objects {
			pod, _ := From(objects[i])
			pods, wanted = append(pods, pod), append(wanted, &want.Items[i])
		}
	}
	for i, pod := range pods {
		want := wanted[i].DeepCopy()
		want.ManagedFields = nil
		read := pod.Decoded
		if form == Trimmed {
			read, want.Spec = pod.Trimmed, podtest.TrimmedSpec(want)
		}
		if decoded, err := read(); err != nil || !reflect.DeepEqual(decoded, want) {
			t.Fatalf("in form %d, %v:\ngot  %+v\nwant %+v", form, err, decoded, want)
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

// stream compares the events of a stream.
func (c *comparison) stream(t *testing.T, stream []byte) {
	t.Helper()
	want := theirEvents(c.fallback, stream)
	for _, r := range c.receivers {
		got := r.events(stream, func(i int, object runtime.Object) {
			if i < len(want) {
				r.compare(t, object, want[i].object)
			}
		})
		for i := range min(len(got), len(want)) {
			if got[i].kind != want[i].kind || (got[i].err == nil) != (want[i].err == nil) {
				t.Fatalf("knowing %s: event %d: %s, %v, want %s, %v", r.memory, i, got[i].kind, got[i].err, want[i].kind, want[i].err)
			}
		}
		if len(got) != len(want) && !refused(stream, got, len(want)) {
			t.Fatalf("knowing %s: %d events, want %d", r.memory, len(got), len(want))
		}
		r.recheck(t)
	}
}

// decode decodes from memory that is soon used for something else. Client-go may
// panic, which counts as an error.
func decode(negotiator runtime.ClientNegotiator, data []byte) (object runtime.Object, err error) {
	decoder, err := negotiator.Decoder(runtime.ContentTypeProtobuf, nil)
	if err != nil {
		panic(err)
	}
	if _, own := decoder.(*objectDecoder); !own {
		defer failOnPanic(&err)
	}
	frame := bytes.Clone(data)
	object, err = runtime.Decode(decoder, frame)
	for i := range frame {
		frame[i] = 0xA5
	}
	return object, err
}

func failOnPanic(err *error) {
	if reason := recover(); reason != nil {
		*err = fmt.Errorf("panic: %v", reason)
	}
}

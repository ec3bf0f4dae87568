// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"io"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
	"github.com/executorpods/watchsource/internal/shard"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// The shard 0 of 2 has the namespace theirs, and the shard 1 has ours.
const ours, theirs = "ours", "theirs"

func oursOnly(t testing.TB) *Filter {
	t.Helper()
	r := shard.Of(1, 2)
	if !r.Owns(ours) || r.Owns(theirs) {
		t.Fatalf("the shard has %s: %v, and %s: %v; want only the first", ours, r.Owns(ours), theirs, r.Owns(theirs))
	}
	return &Filter{Shard: r}
}

// podIn is an executor in a namespace, with a spec that no decoder reads if damaged is true.
func podIn(t testing.TB, namespace, name string, damaged bool) []byte {
	t.Helper()
	pod := podtest.Executor(1, 1, true)
	pod.Namespace, pod.Name = namespace, name
	raw, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if damaged {
		raw = slices.Concat(raw[:len(raw)-len(statusOf(t, raw))], []byte{rawpod.PodStatus<<3 | protobuf.BytesKind, 2, 0xff, 0xff})
	}
	return raw
}

// statusOf returns the last field of a pod.
func statusOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	for m := protobuf.Message(raw); ; {
		f, ok := m.Next()
		if !ok {
			t.Fatal("the pod cannot be read")
		}
		if len(m) == 0 {
			return f.Whole
		}
	}
}

func eventIn(t testing.TB, kind watch.EventType, namespace, name string, damaged bool) []byte {
	t.Helper()
	event := metav1.WatchEvent{Type: string(kind)}
	event.Object.Raw = wrapped("Pod", podIn(t, namespace, name, damaged))
	frame, err := event.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return framed(frame)
}

// In a stream a pod of another shard has only its namespace and its version, and the rest of it
// may be damaged. The other pods and the bookmarks are decoded as without a shard.
func TestStreamPassesOverOtherShards(t *testing.T) {
	bookmark := framed(eventOf(t, string(watch.Bookmark), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}}))
	stream := slices.Concat(
		eventIn(t, watch.Added, ours, "exec-1", false),
		eventIn(t, watch.Modified, theirs, "exec-2", true),
		bookmark,
		eventIn(t, watch.Deleted, theirs, "exec-3", false),
		eventIn(t, watch.Modified, ours, "exec-4", false),
	)
	for _, wants := range []func(uid, value []byte) bool{nil, func([]byte, []byte) bool { return true }} {
		filter := oursOnly(t)
		filter.Wants = wants
		sharded := NewNegotiator(clientGo(), Wire, filter, nil, neverClientGo(t))
		s := sharded.Stream(io.NopCloser(bytes.NewReader(stream)))
		all := NewNegotiator(clientGo(), Wire, nil, nil, func(string) {}).Stream(io.NopCloser(bytes.NewReader(slices.Concat(
			eventIn(t, watch.Added, ours, "exec-1", false), bookmark, eventIn(t, watch.Modified, ours, "exec-4", false)))))
		for _, passed := range []bool{false, true, false, true, false} {
			got, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			pod, ok := From(got.Object)
			if !ok {
				t.Fatalf("the object is a %T, want a pod", got.Object)
			}
			if passed {
				if want := (Identity{Namespace: theirs, ResourceVersion: podtest.VersionText(1)}); pod.Identity != want || !pod.IsPartial() {
					t.Errorf("the pod of another shard is %+v, want %+v only", pod.Identity, want)
				}
				continue
			}
			want, err := all.Next()
			if err != nil {
				t.Fatal(err)
			}
			if pod.IsPartial() || !podtest.Equal(decodedPod(t, got.Object), decodedPod(t, want.Object)) || got.Type != want.Type {
				t.Errorf("%s %s differs from what a decoder without a shard returns", got.Type, pod.Name)
			}
		}
		if _, err := s.Next(); err != io.EOF {
			t.Errorf("%v at the end, want %v", err, io.EOF)
		}
	}
}

// neverClientGo is the report of a Negotiator that must read all pods itself.
func neverClientGo(t testing.TB) func(fallback string) {
	return func(fallback string) {
		if fallback != "" {
			t.Errorf("client-go has decoded a pod in %s", fallback)
		}
	}
}

func decodedPod(t testing.TB, object runtime.Object) *corev1.Pod {
	t.Helper()
	pod, ok := From(object)
	if !ok {
		t.Fatalf("the object is a %T, want a pod", object)
	}
	decoded, err := pod.Decode()
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

// A list lacks the pods of other shards, and the rest of them may be damaged.
func TestListLacksOtherShards(t *testing.T) {
	data := wrapped("PodList", listOf(
		podIn(t, theirs, "exec-1", true), podIn(t, ours, "exec-2", false), podIn(t, theirs, "exec-3", false), podIn(t, ours, "exec-4", false)))
	negotiator := NewNegotiator(clientGo(), Wire, oursOnly(t), nil, neverClientGo(t))
	object, err := decode(negotiator, data)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, item := range object.(*metainternal.List).Items {
		names = append(names, item.(*Pod).Name)
	}
	if want := []string{"exec-2", "exec-4"}; !slices.Equal(names, want) {
		t.Errorf("the list has %v, want %v", names, want)
	}
}

// An event of another shard costs one allocation, the text of its version. The decoder keeps
// nothing of it.
func TestOtherShardsAreNotDecoded(t *testing.T) {
	const events = 100
	other := bytes.Repeat(eventIn(t, watch.Modified, theirs, "exec-2", false), events+2)
	negotiator := NewNegotiator(clientGo(), Wire, oursOnly(t), nil, func(string) {})
	s := negotiator.Stream(io.NopCloser(bytes.NewReader(other)))
	if _, err := s.Next(); err != nil { // detects the media type
		t.Fatal(err)
	}
	per := testing.AllocsPerRun(events, func() {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
	})
	if per > 1 {
		t.Errorf("an event of another shard costs %v allocations, want 1", per)
	}
	d := negotiator.decoder
	for _, p := range []*packing.Packer{&d.metadata, &d.spec, &d.status} {
		if p.Indexed() > 0 {
			t.Error("the decoder keeps a template of a pod of another shard, want none")
		}
	}
}

// A bookmark has no namespace. It is decoded even if the shard lacks the empty name.
func TestBookmarkIsOfEachShard(t *testing.T) {
	end := framed(eventOf(t, string(watch.Bookmark), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "7", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}))
	for index := range 2 {
		filter := &Filter{Shard: shard.Of(index, 2)}
		s := NewNegotiator(clientGo(), Wire, filter, nil, func(string) {}).Stream(io.NopCloser(bytes.NewReader(end)))
		event, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := decodedPod(t, event.Object); got.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
			t.Errorf("shard %d: the bookmark has the annotations %v, want the one that ends a list", index, got.Annotations)
		}
	}
}

// Of a pod that the filter does not want, only the identity and a label are read, in lists and in
// streams. The rest of it may be damaged.
func TestUnwantedPodsAreReadInPart(t *testing.T) {
	const label = "spark-exec-id"
	pod := func(i int, damaged bool) []byte {
		raw, err := podtest.Executor(i, 1, true).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if damaged {
			raw = slices.Concat(raw, []byte{rawpod.PodStatus<<3 | protobuf.BytesKind, 2, 0xff, 0xff}) // a second status
			raw = slices.Concat(raw[:len(raw)-4-len(statusOf(t, raw[:len(raw)-4]))], raw[len(raw)-4:])
		}
		return raw
	}
	wanted := podtest.Executor(1, 1, true)
	asked := 0
	filter := &Filter{Label: label, Wants: func(uid, value []byte) bool {
		asked++
		return string(uid) == string(wanted.UID) && string(value) == wanted.Labels[label]
	}}
	known := func([]byte) Known { return Known{} }
	negotiator := NewNegotiator(clientGo(), Wire, filter, known, neverClientGo(t))
	object, err := decode(negotiator, wrapped("PodList", listOf(pod(1, false), pod(2, false), pod(3, true))))
	if err != nil {
		t.Fatal(err)
	}
	items := object.(*metainternal.List).Items
	if len(items) != 3 || asked != 3 {
		t.Fatalf("%d pods, and the filter was asked %d times, want 3 of each", len(items), asked)
	}
	for i, item := range items {
		comparePartial(t, item.(*Pod), podtest.Executor(i+1, 1, true), label, i > 0)
	}
	if _, ok := items[1].(*Pod).Label("team"); ok {
		t.Error("a pod that is not wanted has another label, want only that of the filter")
	}
	if _, ok := items[1].(*Pod).Annotation("prometheus.io/scrape"); ok {
		t.Error("a pod that is not wanted has an annotation, want none")
	}
}

// comparePartial compares the identity and a label of a pod.
func comparePartial(t *testing.T, got *Pod, want *corev1.Pod, label string, partial bool) {
	t.Helper()
	if id := (Identity{Namespace: want.Namespace, Name: want.Name, UID: want.UID, ResourceVersion: want.ResourceVersion}); got.Identity != id {
		t.Errorf("the pod is %+v, want %+v", got.Identity, id)
	}
	if got.IsPartial() != partial {
		t.Errorf("%s is partial: %t, want %t", want.Name, got.IsPartial(), partial)
	}
	if value, ok := got.Label(label); value != want.Labels[label] || !ok {
		t.Errorf("%s has the label %q, %t, want %q", want.Name, value, ok, want.Labels[label])
	}
	for selector, matches := range map[string]bool{label + "=" + want.Labels[label]: true, label + "=another": false} {
		s, err := labels.Parse(selector)
		if err != nil {
			t.Fatal(err)
		}
		if got.Matches(s) != matches {
			t.Errorf("%s is selected by %s: %t, want %t", want.Name, selector, !matches, matches)
		}
	}
}

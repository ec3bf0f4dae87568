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
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podtest"
	"github.com/executorpods/watchsource/internal/shard"
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
		raw = slices.Concat(raw[:len(raw)-len(statusOf(t, raw))], []byte{podStatus<<3 | bytesKind, 2, 0xff, 0xff})
	}
	return raw
}

// statusOf returns the last field of a pod.
func statusOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	for m := message(raw); ; {
		f, ok := m.next()
		if !ok {
			t.Fatal("the pod cannot be read")
		}
		if len(m) == 0 {
			return f.whole
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
	for _, form := range forms {
		for _, wants := range []func(uid, value []byte) bool{nil, func([]byte, []byte) bool { return true }} {
			filter := oursOnly(t)
			filter.Wants = wants
			sharded := NewNegotiator(clientGo(), form, filter, nil, func(string) { t.Error("client-go has decoded a pod") })
			s := sharded.Stream(io.NopCloser(bytes.NewReader(stream)))
			all := NewNegotiator(clientGo(), form, nil, nil, func(string) {}).Stream(io.NopCloser(bytes.NewReader(slices.Concat(
				eventIn(t, watch.Added, ours, "exec-1", false), bookmark, eventIn(t, watch.Modified, ours, "exec-4", false)))))
			for _, passed := range []bool{false, true, false, true, false} {
				got, err := s.Next()
				if err != nil {
					t.Fatalf("%v: %v", form, err)
				}
				pod := got.Object.(*corev1.Pod)
				if passed {
					if pod.Namespace != theirs || pod.ResourceVersion != podtest.VersionText(1) || pod.Name != "" || pod.Status.Phase != "" {
						t.Errorf("%v: the pod of another shard is %s/%s at version %q, phase %q; want its namespace and version only",
							form, pod.Namespace, pod.Name, pod.ResourceVersion, pod.Status.Phase)
					}
					continue
				}
				want, err := all.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !podtest.Equal(pod, want.Object.(*corev1.Pod)) || got.Type != want.Type {
					t.Errorf("%v: %s %s differs from what a decoder without a shard returns", form, got.Type, pod.Name)
				}
			}
			if _, err := s.Next(); err != io.EOF {
				t.Errorf("%v: %v at the end, want %v", form, err, io.EOF)
			}
		}
	}
}

// A list lacks the pods of other shards, and the rest of them may be damaged.
func TestListLacksOtherShards(t *testing.T) {
	data := wrapped("PodList", listOf(
		podIn(t, theirs, "exec-1", true), podIn(t, ours, "exec-2", false), podIn(t, theirs, "exec-3", false), podIn(t, ours, "exec-4", false)))
	for _, form := range forms {
		negotiator := NewNegotiator(clientGo(), form, oursOnly(t), nil, func(string) { t.Error("client-go has decoded a pod") })
		object, err := decode(negotiator, data)
		if err != nil {
			t.Fatalf("%v: %v", form, err)
		}
		var names []string
		for _, item := range object.(*metainternal.List).Items {
			names = append(names, item.(*corev1.Pod).Name)
		}
		if want := []string{"exec-2", "exec-4"}; !slices.Equal(names, want) {
			t.Errorf("%v: the list has %v, want %v", form, names, want)
		}
	}
}

// An event of another shard costs one allocation, the text of its version, in every form. The
// decoder keeps nothing of it.
func TestOtherShardsAreNotDecoded(t *testing.T) {
	const events = 100
	other := bytes.Repeat(eventIn(t, watch.Modified, theirs, "exec-2", false), events+2)
	for _, form := range forms {
		negotiator := NewNegotiator(clientGo(), form, oursOnly(t), nil, func(string) {})
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
			t.Errorf("%v: an event of another shard costs %v allocations, want 1", form, per)
		}
		if known := len(negotiator.decoder.known.known); known != 0 {
			t.Errorf("%v: the decoder keeps %d pods of other shards, want none", form, known)
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
		s := NewNegotiator(clientGo(), Full, filter, nil, func(string) {}).Stream(io.NopCloser(bytes.NewReader(end)))
		event, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := event.Object.(*corev1.Pod); got.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
			t.Errorf("shard %d: the bookmark has the annotations %v, want the one that ends a list", index, got.Annotations)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// document is an entry of a response body: an answer or one event of a stream. The reader
// encodes it, so a write costs the same with any number of readers.
type document interface {
	encode(m *media, malformed bool) []byte
}

// answer is the single object of a response.
type answer struct {
	object runtime.Object
}

func (a answer) encode(m *media, malformed bool) []byte {
	encoded := m.encode(a.object)
	if malformed {
		return m.malform(encoded)
	}
	return encoded
}

// event is one frame of a stream. All streams share the event and its encoded frames, one
// for each media type.
type event struct {
	kind       watch.EventType
	object     runtime.Object
	initialEnd bool // the bookmark after the initial events

	encoded [mediaCount]struct {
		once  sync.Once
		frame []byte
	}
}

func (e *event) encode(m *media, malformed bool) []byte {
	if malformed {
		return m.frame(string(e.kind), m.malform(m.encode(e.object)))
	}
	encoded := &e.encoded[m.index]
	encoded.once.Do(func() { encoded.frame = m.frame(string(e.kind), m.encode(e.object)) })
	return encoded.frame
}

// podEvent returns an event with a pod from the store.
func podEvent(kind watch.EventType, pod *corev1.Pod) *event {
	return &event{kind: kind, object: withTypeMeta(pod)}
}

// bookmark returns an event that contains only a resource version.
func bookmark(version string, initialEnd bool) *event {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
	if initialEnd {
		pod.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	e := podEvent(watch.Bookmark, pod)
	e.initialEnd = initialEnd
	return e
}

// periodicBookmark reports whether the event is a bookmark and does not end the initial
// events.
func (e *event) periodicBookmark() bool { return e.kind == watch.Bookmark && !e.initialEnd }

// changesPod reports whether the event is about a pod.
func (e *event) changesPod() bool { return e.kind != watch.Bookmark && e.kind != watch.Error }

// withTypeMeta returns a copy of the pod with its kind and API version. Stored pods have
// neither, like pods that client-go has decoded. The copy is shallow, because pods in the
// store are not modified.
func withTypeMeta(pod *corev1.Pod) *corev1.Pod {
	out := *pod
	out.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
	return &out
}

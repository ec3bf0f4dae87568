// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// A document is something a response body carries: an answer or one event of
// a stream. It is encoded when it is read, so writers never pay for readers.
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

// event is one frame of a stream. All streams that get it share it, and what
// it looks like in each of the media.
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
	slot := &e.encoded[m.index]
	slot.once.Do(func() { slot.frame = m.frame(string(e.kind), m.encode(e.object)) })
	return slot.frame
}

// podEvent makes an event of a pod as the store holds it.
func podEvent(kind watch.EventType, pod *corev1.Pod) *event {
	return &event{kind: kind, object: typed(pod)}
}

// bookmark is the event that carries a resource version and nothing else.
func bookmark(version string, initialEnd bool) *event {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
	if initialEnd {
		pod.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	e := podEvent(watch.Bookmark, pod)
	e.initialEnd = initialEnd
	return e
}

// regularBookmark reports whether the event is a bookmark that comes from time to
// time.
func (e *event) regularBookmark() bool { return e.kind == watch.Bookmark && !e.initialEnd }

// typed returns the pod with its kind and version, which stored pods lack just
// as decoded ones do. The copy is shallow: nothing below is written to.
func typed(pod *corev1.Pod) *corev1.Pod {
	out := *pod
	out.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
	return &out
}

// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// panicking is a client whose decoder panics.
type panicking struct{ runtime.ClientNegotiator }

type panickingDecoder struct{ runtime.Decoder }

func (panicking) Decoder(string, map[string]string) (runtime.Decoder, error) {
	return panickingDecoder{}, nil
}

func (panicking) StreamDecoder(string, map[string]string) (runtime.Decoder, runtime.Serializer, runtime.Framer, error) {
	return panickingDecoder{}, nil, nil, nil
}

func (panickingDecoder) Decode([]byte, *schema.GroupVersionKind, runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	panic("length out of range")
}

// A panic of the decoder behind the library's own is an error of one answer.
func TestPanicOfADecoder(t *testing.T) {
	negotiator := NewNegotiator(panicking{}, Wire, nil, nil, func(string) {})
	for _, mediaType := range []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON} {
		decoder, err := negotiator.Decoder(mediaType, nil)
		if err != nil {
			t.Fatal(err)
		}
		object, err := runtime.Decode(decoder, []byte("no pod"))
		if object != nil || err == nil || !strings.Contains(err.Error(), "decode "+mediaType+": panic: length out of range") {
			t.Errorf("%s: Decode = %v, %v, want the panic as an error", mediaType, object, err)
		}
	}
}

// The same holds for the object of an event, also for that of a bookmark, which the library does
// not decode itself.
func TestPanicOfADecoderInAStream(t *testing.T) {
	negotiator := NewNegotiator(panicking{}, Wire, nil, nil, func(string) {})
	for _, kind := range []string{"ADDED", "BOOKMARK", "ERROR"} {
		frame := framed(eventOf(t, kind, &corev1.Node{}))
		event, err := negotiator.Stream(io.NopCloser(bytes.NewReader(frame))).Next()
		if event.Object != nil || err == nil || !strings.Contains(err.Error(), "panic: length out of range") {
			t.Errorf("%s: Next = %v, %v, want the panic as an error", kind, event, err)
		}
	}
}

// Pods that client-go decodes, for example from JSON, are kept as they came, and the
// negotiator reports this once for each answer.
func TestOtherMedia(t *testing.T) {
	var noted []string
	negotiator := NewNegotiator(clientGo(), Wire, nil, nil, func(mediaType string) { noted = append(noted, mediaType) })
	decoder, err := negotiator.Decoder(runtime.ContentTypeJSON, nil)
	if err != nil {
		t.Fatal(err)
	}
	fallback, err := clientGo().Decoder(runtime.ContentTypeJSON, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newReceiver(last)
	for range 2 {
		data := inJSON(t, podtest.Executor(1, 1, true))
		want, err := runtime.Decode(fallback, data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := runtime.Decode(decoder, data)
		if err != nil {
			t.Fatal(err)
		}
		r.compare(t, got, want)
	}
	r.recheck(t)
	if !slices.Equal(noted, []string{runtime.ContentTypeJSON}) {
		t.Errorf("noted %q, want %q once", noted, runtime.ContentTypeJSON)
	}
}

// A stream reports what decodes its pods whenever that changes: the package, and client-go for a pod
// whose status comes twice. client-go decodes each bookmark, which shows nothing of the pods.
func TestReportOfAStream(t *testing.T) {
	raw, err := podtest.Executor(1, 1, true).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	usual, unusual := raw, append(slices.Clone(raw), rawpod.PodStatus<<3|protobuf.BytesKind, 0)
	var body []byte
	for _, pod := range [][]byte{usual, usual, unusual, unusual, usual} {
		event := metav1.WatchEvent{Type: string(watch.Modified), Object: runtime.RawExtension{Raw: wrapped("Pod", pod)}}
		frame, err := event.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		body = append(body, framed(frame)...)
	}
	mark := framed(eventOf(t, string(watch.Bookmark), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}}))
	var reported []string
	stream := NewNegotiator(clientGo(), Wire, nil, nil, func(fallback string) { reported = append(reported, fallback) }).
		Stream(io.NopCloser(bytes.NewReader(slices.Concat(mark, body, mark))))
	for range 7 {
		if _, err := stream.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"", runtime.ContentTypeProtobuf, ""}; !slices.Equal(reported, want) {
		t.Errorf("reported %q, want %q", reported, want)
	}
}

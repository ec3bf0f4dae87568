// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
// negotiator reports this once.
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

// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A Negotiator is a [runtime.ClientNegotiator] that returns each pod as a [Pod], and a PodList as a
// List of the internal version. It is safe for concurrent use.
type Negotiator struct {
	runtime.ClientNegotiator
	decoder *decoder
	report  func(fallback string)
}

// NewNegotiator returns a Negotiator for a receiver that wants pods in one form. It passes
// everything that it does not understand to fallback, which returns decoded pods. The filter may
// be nil.
//
// report is called at the first pod of each answer, and whenever that changes within the answer: with
// the media type of pods that fallback decodes, and with "" for pods that the Negotiator reads. Any
// goroutine may call it.
//
// known returns what the receiver knows of a pod, so that a new state shares the parts that have
// not changed. It may be nil. Any goroutine may call it, and it must not keep uid.
func NewNegotiator(fallback runtime.ClientNegotiator, form Form, filter *Filter, known func(uid []byte) Known, report func(fallback string)) *Negotiator {
	return &Negotiator{ClientNegotiator: fallback, decoder: newDecoder(form, filter, known), report: report}
}

// Decoder implements [runtime.ClientNegotiator].
func (n *Negotiator) Decoder(mediaType string, params map[string]string) (runtime.Decoder, error) {
	fallback, err := n.ClientNegotiator.Decoder(mediaType, params)
	if err != nil {
		return nil, err
	}
	return &objectDecoder{Decoder: fallback, negotiator: n, mediaType: mediaType}, nil
}

// StreamDecoder implements [runtime.ClientNegotiator].
func (n *Negotiator) StreamDecoder(mediaType string, params map[string]string) (runtime.Decoder, runtime.Serializer, runtime.Framer, error) {
	objects, serializer, framer, err := n.streamDecoder(mediaType, params)
	if err != nil {
		return nil, nil, nil, err
	}
	return objects, serializer, framer, nil
}

func (n *Negotiator) streamDecoder(mediaType string, params map[string]string) (*objectDecoder, runtime.Serializer, runtime.Framer, error) {
	fallback, serializer, framer, err := n.ClientNegotiator.StreamDecoder(mediaType, params)
	return &objectDecoder{Decoder: fallback, negotiator: n, mediaType: mediaType, passed: &Pod{}}, serializer, framer, err
}

// An objectDecoder decodes the body of an answer, or the object of an event.
type objectDecoder struct {
	runtime.Decoder
	negotiator *Negotiator
	mediaType  string
	// bookmark is true if client-go decodes the next object, because it belongs to a bookmark.
	bookmark bool
	// passed is memory for the events of pods in other shards. It is nil for lists.
	passed *Pod
	// fallback is the last report, if hasReported is true.
	fallback    string
	hasReported bool
}

// Decode implements [runtime.Decoder]. It turns a panic into an error, because the generated
// Unmarshal of resource.Quantity panics on some lengths that are out of range (seen in
// k8s.io/apimachinery 0.37.2).
func (d *objectDecoder) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (object runtime.Object, kind *schema.GroupVersionKind, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			object, kind, err = nil, nil, fmt.Errorf("decode %s: panic: %v", d.mediaType, reason)
		}
	}()
	decoder := d.negotiator.decoder
	if into == nil && !d.bookmark && d.mediaType == runtime.ContentTypeProtobuf {
		if d.passed != nil && decoder.passOver(d.passed, data) {
			return d.passed, nil, nil
		}
		if object := decoder.object(data); object != nil {
			d.report("")
			return object, nil, nil
		}
	}
	object, kind, err = d.Decoder.Decode(data, defaults, into)
	switch object.(type) {
	case *corev1.Pod, *corev1.PodList:
		d.reportFallback()
	}
	return object, kind, err
}

// reportFallback reports that the fallback has decoded a pod. It decodes each bookmark, also in a
// stream whose pods it does not decode.
func (d *objectDecoder) reportFallback() {
	if d.bookmark {
		d.report("")
		return
	}
	d.report(d.mediaType)
}

// report reports what decodes the pods of this answer, unless it was reported before.
func (d *objectDecoder) report(fallback string) {
	if d.hasReported && d.fallback == fallback {
		return
	}
	d.fallback, d.hasReported = fallback, true
	d.negotiator.report(fallback)
}

// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A Negotiator is a [runtime.ClientNegotiator] that decodes pods in one form. It decodes a
// PodList into a List of the internal version, so that one item does not keep the others
// in memory. It is safe for concurrent use.
type Negotiator struct {
	runtime.ClientNegotiator
	decoder    *decoder
	onFallback func(mediaType string)
}

// NewNegotiator returns a Negotiator that passes everything that it does not understand to
// fallback. It calls onFallback for the first pod that it passes on. The filter and the cache
// may be nil. The form Full needs no cache.
func NewNegotiator(fallback runtime.ClientNegotiator, form Form, filter *Filter, cache SpecCache, onFallback func(mediaType string)) *Negotiator {
	var once sync.Once
	return &Negotiator{
		ClientNegotiator: fallback,
		decoder:          newDecoder(form, filter, cache),
		onFallback:       func(mediaType string) { once.Do(func() { onFallback(mediaType) }) },
	}
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
	return &objectDecoder{Decoder: fallback, negotiator: n, mediaType: mediaType, passed: n.decoder.newPassed()}, serializer, framer, err
}

// objectDecoder decodes the body of an answer, or the object of an event.
type objectDecoder struct {
	runtime.Decoder
	negotiator *Negotiator
	mediaType  string
	memory     *podMemory  // nil if the pods of events may be kept
	passed     *corev1.Pod // the memory of the pods of events in other shards
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
	if into == nil && d.mediaType == runtime.ContentTypeProtobuf {
		if pod := decoder.passOver(data, d.passed); pod != nil {
			return pod, nil, nil
		}
		if object := decoder.object(data, d.memory); object != nil {
			return object, nil, nil
		}
	}
	object, kind, err = d.Decoder.Decode(data, defaults, into)
	switch object := object.(type) {
	case *corev1.Pod:
		decoder.form.Trim(object)
		d.negotiator.onFallback(d.mediaType)
	case *corev1.PodList:
		for i := range object.Items {
			decoder.form.Trim(&object.Items[i])
		}
		d.negotiator.onFallback(d.mediaType)
	}
	return object, kind, err
}

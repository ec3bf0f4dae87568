// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A Negotiator is a [runtime.ClientNegotiator] that reads pods, in the form it
// was made for. A PodList becomes a List of the internal version, whose items
// do not keep each other in memory. It may be used by several requests at once.
type Negotiator struct {
	runtime.ClientNegotiator
	reader *reader
	note   func(mediaType string)
}

// NewNegotiator returns a Negotiator that leaves to theirs what it does not
// understand. With the first pod for which that is so it calls note.
func NewNegotiator(theirs runtime.ClientNegotiator, form Form, note func(mediaType string)) *Negotiator {
	var once sync.Once
	return &Negotiator{
		ClientNegotiator: theirs,
		reader:           newReader(form),
		note:             func(mediaType string) { once.Do(func() { note(mediaType) }) },
	}
}

// Decoder implements [runtime.ClientNegotiator].
func (n *Negotiator) Decoder(mediaType string, params map[string]string) (runtime.Decoder, error) {
	theirs, err := n.ClientNegotiator.Decoder(mediaType, params)
	if err != nil {
		return nil, err
	}
	return &objectDecoder{theirs, n, mediaType}, nil
}

// StreamDecoder implements [runtime.ClientNegotiator].
func (n *Negotiator) StreamDecoder(mediaType string, params map[string]string) (runtime.Decoder, runtime.Serializer, runtime.Framer, error) {
	theirs, serializer, framer, err := n.ClientNegotiator.StreamDecoder(mediaType, params)
	if err != nil {
		return nil, nil, nil, err
	}
	return &objectDecoder{theirs, n, mediaType}, serializer, framer, nil
}

// objectDecoder decodes the body of an answer, or the object of an event.
type objectDecoder struct {
	runtime.Decoder
	negotiator *Negotiator
	mediaType  string
}

// Decode implements [runtime.Decoder]. The generated code panics on some lengths
// beyond any bound, such as that of a resource.Quantity; to whoever watches that is
// one more message that is damaged.
func (d *objectDecoder) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (object runtime.Object, kind *schema.GroupVersionKind, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			object, kind, err = nil, nil, fmt.Errorf("decode %s: panic: %v", d.mediaType, reason)
		}
	}()
	reader := d.negotiator.reader
	if into == nil && d.mediaType == runtime.ContentTypeProtobuf {
		if object := reader.object(data); object != nil {
			return object, nil, nil
		}
	}
	object, kind, err = d.Decoder.Decode(data, defaults, into)
	switch object := object.(type) {
	case *corev1.Pod:
		reader.form.Trim(object)
		d.negotiator.note(d.mediaType)
	case *corev1.PodList:
		for i := range object.Items {
			reader.form.Trim(&object.Items[i])
		}
		d.negotiator.note(d.mediaType)
	}
	return object, kind, err
}

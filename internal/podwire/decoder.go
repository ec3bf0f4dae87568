// SPDX-License-Identifier: Apache-2.0

// Package podwire reads pods from the wire for less than client-go does.
package podwire

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A Decoder is a [runtime.ClientNegotiator].
type Decoder struct {
	runtime.ClientNegotiator
	form Form

	mu      sync.Mutex
	strings *shared
}

// New returns a Decoder.
func New(theirs runtime.ClientNegotiator, form Form) *Decoder {
	return &Decoder{ClientNegotiator: theirs, form: form, strings: newShared()}
}

func (d *Decoder) Decoder(contentType string, params map[string]string) (runtime.Decoder, error) {
	theirs, err := d.ClientNegotiator.Decoder(contentType, params)
	if err != nil {
		return nil, err
	}
	return objects{theirs, d}, nil
}

func (d *Decoder) StreamDecoder(contentType string, params map[string]string) (runtime.Decoder, runtime.Serializer, runtime.Framer, error) {
	theirs, serializer, framer, err := d.ClientNegotiator.StreamDecoder(contentType, params)
	if err != nil || contentType != runtime.ContentTypeProtobuf {
		return objects{theirs, d}, serializer, framer, err
	}
	return objects{theirs, d}, events{serializer}, bufferedFramer{framer}, nil
}

type events struct{ runtime.Serializer }

func (e events) Decode(frame []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if got, ok := into.(*metav1.WatchEvent); ok && event(frame, got) {
		return got, nil, nil
	}
	return e.Serializer.Decode(frame, defaults, into)
}

type objects struct {
	runtime.Decoder
	ours *Decoder
}

func (o objects) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if into == nil {
		if object := o.ours.object(data); object != nil {
			return object, nil, nil
		}
	}
	object, kind, err := o.Decoder.Decode(data, defaults, into)
	switch object := object.(type) {
	case *corev1.Pod:
		o.ours.form.Trim(object)
	case *corev1.PodList:
		for i := range object.Items {
			o.ours.form.Trim(&object.Items[i])
		}
	}
	return object, kind, err
}

func (d *Decoder) object(data []byte) runtime.Object {
	raw, kind, ok := open(data)
	if !ok {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch string(kind) {
	case "Pod":
		pod := new(corev1.Pod)
		if d.pod(pod, raw) {
			return pod
		}
	case "PodList":
		list := new(metainternal.List)
		if d.list(list, raw) {
			return list
		}
	}
	return nil
}

func (d *Decoder) list(list *metainternal.List, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok || f.kind != bytesKind {
			return false
		}
		switch f.number {
		case 1:
			if list.ListMeta.Unmarshal(f.value) != nil {
				return false
			}
		case 2:
			pod := new(corev1.Pod)
			if !d.pod(pod, f.value) {
				return false
			}
			list.Items = append(list.Items, pod)
		}
	}
	return true
}

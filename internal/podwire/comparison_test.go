// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// comparison compares client-go's decoder with the decoder of this package, for receivers that
// know different states of a pod.
type comparison struct {
	fallback  runtime.ClientNegotiator
	receivers []*receiver
	// decoding has the negotiators of receivers of decoded pods.
	decoding map[Form]*Negotiator
}

func newComparison(memories ...memory) *comparison {
	c := &comparison{fallback: clientGo(), decoding: map[Form]*Negotiator{}}
	for _, form := range []Form{Whole, Trimmed} {
		c.decoding[form] = NewNegotiator(clientGo(), form, nil, nil, func(string) {})
	}
	for _, m := range memories {
		c.receivers = append(c.receivers, newReceiver(m))
	}
	return c
}

// object decodes an object for each receiver.
func (c *comparison) object(t *testing.T, data []byte) {
	t.Helper()
	want, wantErr := decode(c.fallback, data)
	for _, r := range c.receivers {
		got, err := decode(r, data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("knowing %s: error %v, want that of client-go: %v", r.memory, err, wantErr)
		}
		r.compare(t, got, want)
		r.recheck(t)
	}
	for _, form := range []Form{Whole, Trimmed} {
		got, err := decode(c.decoding[form], data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("in form %d: error %v, want that of client-go: %v", form, err, wantErr)
		}
		compareDecoded(t, form, got, want)
	}
}

// compareDecoded compares the decoded pods of an object with those of client-go.
func compareDecoded(t *testing.T, form Form, got, want runtime.Object) {
	t.Helper()
	var pods []*Pod
	var wanted []*corev1.Pod
	switch want := want.(type) {
	case *corev1.Pod:
		pod, _ := From(got)
		pods, wanted = []*Pod{pod}, []*corev1.Pod{want}
	case *corev1.PodList:
		objects, err := meta.ExtractList(got)
		if err != nil || len(objects) != len(want.Items) {
			t.Fatalf("in form %d: %d pods, %v, want %d", form, len(objects), err, len(want.Items))
		}
		for i := range objects {
			pod, _ := From(objects[i])
			pods, wanted = append(pods, pod), append(wanted, &want.Items[i])
		}
	}
	for i, pod := range pods {
		want := wanted[i].DeepCopy()
		want.ManagedFields = nil
		read := pod.Decoded
		if form == Trimmed {
			read, want.Spec = pod.Trimmed, podtest.TrimmedSpec(want)
		}
		if decoded, err := read(); err != nil || !reflect.DeepEqual(decoded, want) {
			t.Fatalf("in form %d, %v:\ngot  %+v\nwant %+v", form, err, decoded, want)
		}
	}
}

// stream compares the events of a stream.
func (c *comparison) stream(t *testing.T, stream []byte) {
	t.Helper()
	want := theirEvents(c.fallback, stream)
	for _, r := range c.receivers {
		got := r.events(stream, func(i int, object runtime.Object) {
			if i < len(want) {
				r.compare(t, object, want[i].object)
			}
		})
		for i := range min(len(got), len(want)) {
			if got[i].kind != want[i].kind || (got[i].err == nil) != (want[i].err == nil) {
				t.Fatalf("knowing %s: event %d: %s, %v, want %s, %v", r.memory, i, got[i].kind, got[i].err, want[i].kind, want[i].err)
			}
		}
		if len(got) != len(want) && !refused(stream, got, len(want)) {
			t.Fatalf("knowing %s: %d events, want %d", r.memory, len(got), len(want))
		}
		r.recheck(t)
	}
}

// decode decodes from memory that is soon used for something else. Client-go may
// panic, which counts as an error.
func decode(negotiator runtime.ClientNegotiator, data []byte) (object runtime.Object, err error) {
	decoder, err := negotiator.Decoder(runtime.ContentTypeProtobuf, nil)
	if err != nil {
		panic(err)
	}
	if _, own := decoder.(*objectDecoder); !own {
		defer failOnPanic(&err)
	}
	frame := bytes.Clone(data)
	object, err = runtime.Decode(decoder, frame)
	for i := range frame {
		frame[i] = 0xA5
	}
	return object, err
}

func failOnPanic(err *error) {
	if reason := recover(); reason != nil {
		*err = fmt.Errorf("panic: %v", reason)
	}
}

// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	goruntime "runtime"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	restwatch "k8s.io/client-go/rest/watch"

	"github.com/executorpods/watchsource/internal/samplepod"
)

var forms = []Form{Full, Trimmed}

// Any pod, damaged or not, is read as client-go reads it, and trimmed.
func FuzzPod(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, []byte{})
		for part := range byte(3) { // metadata, spec, status
			for how := range byte(7) {
				f.Add(seed, []byte{part, how, byte(37 * seed)})
			}
			for of := range byte(16) { // and within
				how, more := of%7, byte(37*seed)
				f.Add(seed, []byte{part, 7, 0, of, 0, 0})
				f.Add(seed, []byte{part, 7, 0, of, how, more})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, 0, 3, bytesKind})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, byte(seed), how, more})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, byte(seed), 7, 0, 0, how, more})
			}
		}
	}
	c := newComparison()
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		whole, err := filled(seed).Marshal()
		if err != nil {
			t.Skip(err)
		}
		pod := damaged(whole, script)
		c.object(t, wrapped("Pod", pod))
		c.object(t, wrapped("PodList", listOf(whole, pod)))
	})
}

// Whatever else may come in the place of an object.
func FuzzObject(f *testing.F) {
	pod := envelope(f, samplepod.Executor(1, 1))
	f.Add(pod)
	f.Add(pod[:len(pod)-1])
	f.Add(envelope(f, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "more"}, Items: []corev1.Pod{*samplepod.Executor(1, 1)}}))
	f.Add(envelope(f, &metav1.Status{Status: metav1.StatusFailure, Code: 410}))
	f.Add(envelope(f, &corev1.Node{}))
	f.Add(damaged(pod[len(magic):], []byte{0, 0, 0}))
	f.Add(bytes.ReplaceAll(pod, []byte("1408Mi"), []byte("14x8Mi"))) // no quantity
	f.Add(bytes.Replace(pod, []byte("v1"), []byte("v9"), 1))         // no version
	f.Add(wrapped("Pod", nil))
	f.Add(wrapped("Pod", []byte{1<<3 | 3, 1<<3 | 4})) // a group
	f.Add(wrapped("Pod", []byte{0, 0}))
	f.Add([]byte("k8s\x00"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod"}`))
	c := newComparison()
	f.Fuzz(func(t *testing.T, data []byte) { c.object(t, data) })
}

// A stream is cut into the same events, and ends with the same frame.
func FuzzStream(f *testing.F) {
	modified := eventOf(f, "MODIFIED", samplepod.Executor(1, 1))
	bookmark := eventOf(f, "BOOKMARK", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"}})
	f.Add(slices.Concat(framed(modified), framed(bookmark)))
	f.Add(slices.Concat(framed(modified), framed(modified)[:100]))
	f.Add(slices.Concat(framed(eventOf(f, "ERROR", &metav1.Status{Code: 410})), framed(eventOf(f, "RENAMED", &corev1.Pod{}))))
	f.Add(framed(slices.Concat(modified, bookmark)))
	f.Add(slices.Concat([]byte{0xff, 0xff, 0xff, 0xff}, modified))
	f.Add(slices.Concat([]byte{0, 0, 0, 0}, framed(modified)))
	for how := range byte(7) {
		f.Add(slices.Concat(framed(damaged(modified, []byte{1, how, 3})), framed(damaged(bookmark, []byte{0, how, 130}))))
		f.Add(framed(damaged(modified, []byte{1, 7, 0, 0, how, 17})))
	}
	c := newComparison()
	f.Fuzz(func(t *testing.T, stream []byte) {
		want := events(c.theirs, stream)
		for _, form := range forms {
			got := events(c.ours[form], stream)
			for i := range min(len(got), len(want)) {
				c.sameEvent(t, form, got[i], want[i])
			}
			if len(got) != len(want) {
				t.Errorf("%d events, want %d", len(got), len(want))
			}
		}
	})
}

// comparison is between client-go and the reader of this package, which keeps
// what it has remembered from one pod to the next.
type comparison struct {
	theirs runtime.ClientNegotiator
	ours   [2]*Negotiator // by form
}

func newComparison() *comparison {
	c := &comparison{theirs: clientGo()}
	for _, form := range forms {
		c.ours[form] = NewNegotiator(clientGo(), form, func(string) {})
	}
	return c
}

func (c *comparison) object(t *testing.T, data []byte) {
	t.Helper()
	for _, form := range forms {
		want, wantErr := decode(c.theirs, data)
		got, err := decode(c.ours[form], data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v: %v, client-go says %v", form, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(list(got), trimmed(want, form)) {
			t.Fatalf("%v:\ngot  %+v\nwant %+v", form, list(got), want)
		}
	}
}

func (c *comparison) sameEvent(t *testing.T, form Form, got, want happened) {
	t.Helper()
	if got.kind != want.kind || (got.err == nil) != (want.err == nil) || !reflect.DeepEqual(got.object, trimmed(want.object, form)) {
		t.Fatalf("%v:\ngot  %+v\nwant %+v", form, got, want)
	}
}

// decode decodes from memory that is soon used for something else.
func decode(negotiator runtime.ClientNegotiator, data []byte) (runtime.Object, error) {
	decoder, err := negotiator.Decoder(runtime.ContentTypeProtobuf, nil)
	if err != nil {
		panic(err)
	}
	frame := bytes.Clone(data)
	object, err := runtime.Decode(decoder, frame)
	for i := range frame {
		frame[i] = 0xA5
	}
	return object, err
}

// trimmed is what client-go has decoded, without what the form leaves out.
func trimmed(object runtime.Object, form Form) runtime.Object {
	if object == nil {
		return nil
	}
	object = object.DeepCopyObject()
	switch object := object.(type) {
	case *corev1.Pod:
		form.Trim(object)
	case *corev1.PodList:
		for i := range object.Items {
			form.Trim(&object.Items[i])
		}
	}
	return object
}

// list makes a PodList of a List.
func list(object runtime.Object) runtime.Object {
	internal, ok := object.(*metainternal.List)
	if !ok {
		return object
	}
	pods := &corev1.PodList{ListMeta: internal.ListMeta}
	for _, item := range internal.Items {
		pods.Items = append(pods.Items, *item.(*corev1.Pod))
	}
	return pods
}

// wrapped puts a message into an envelope.
func wrapped(kind string, raw []byte) []byte {
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: kind}, Raw: raw}
	data, err := unknown.Marshal()
	if err != nil {
		panic(err)
	}
	return append(slices.Clone(magic), data...)
}

func listOf(pods ...[]byte) []byte {
	meta := metav1.ListMeta{ResourceVersion: "5", Continue: "next"}
	data, err := meta.Marshal()
	if err != nil {
		panic(err)
	}
	out := append([]byte{listMetadata<<3 | bytesKind, byte(len(data))}, data...)
	for _, pod := range pods {
		out = append(out, listItems<<3|bytesKind)
		out = append(binary.AppendUvarint(out, uint64(len(pod))), pod...)
	}
	return out
}

func eventOf(tb testing.TB, kind string, object runtime.Object) []byte {
	tb.Helper()
	event := metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: envelope(tb, object)}}
	frame, err := event.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return frame
}

func framed(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
}

// happened is what a stream gave.
type happened struct {
	kind   watch.EventType
	object runtime.Object
	err    error
}

// events reads a stream the way a REST client does.
func events(negotiator runtime.ClientNegotiator, stream []byte) []happened {
	objects, serializer, framer, err := negotiator.StreamDecoder(runtime.ContentTypeProtobuf, nil)
	if err != nil {
		panic(err)
	}
	frames := framer.NewFrameReader(io.NopCloser(bytes.NewReader(stream)))
	decoder := restwatch.NewDecoder(streaming.NewDecoder(frames, serializer), objects)
	defer decoder.Close()
	var all []happened
	for {
		kind, object, err := decoder.Decode()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return all
		}
		all = append(all, happened{kind, object, err})
		if err != nil {
			return all
		}
	}
}

// Nothing that a server may rightly send is left to client-go: if it were, the
// tests above would compare client-go with itself.
func TestNothingIsLeft(t *testing.T) {
	for _, form := range forms {
		r := newReader(form)
		for seed := range uint64(200) {
			pod, err := filled(seed).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if r.object(wrapped("Pod", pod)) == nil {
				t.Errorf("%v: the pod of seed %d is not understood", form, seed)
			}
			for part := range byte(3) {
				newer := damaged(pod, []byte{part, 7, 0, 0, 3, fixed64Kind})
				if r.object(wrapped("Pod", newer)) == nil {
					t.Errorf("%v: the pod of seed %d is not understood with a field of a newer API", form, seed)
				}
			}
			if r.object(wrapped("PodList", listOf(pod, pod))) == nil {
				t.Errorf("%v: the list of seed %d is not understood", form, seed)
			}
		}
	}
	for _, kind := range []string{"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"} {
		var got metav1.WatchEvent
		if !event(eventOf(t, kind, &corev1.Pod{}), &got) || got.Type != kind {
			t.Errorf("%s event is not understood", kind)
		}
	}
}

// JSON, and whatever else is left to client-go, comes in the same form, and is
// told of once.
func TestOtherMedia(t *testing.T) {
	want := samplepod.Executor(1, 1)
	for _, form := range forms {
		var noted []string
		negotiator := NewNegotiator(clientGo(), form, func(mediaType string) { noted = append(noted, mediaType) })
		decoder, err := negotiator.Decoder(runtime.ContentTypeJSON, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			theirs, err := clientGo().Decoder(runtime.ContentTypeJSON, nil)
			if err != nil {
				t.Fatal(err)
			}
			data := inJSON(t, want)
			plain, err := runtime.Decode(theirs, data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := runtime.Decode(decoder, data)
			if err != nil {
				t.Fatal(err)
			}
			if pod := got.(*corev1.Pod); pod.ManagedFields != nil || !reflect.DeepEqual(got, trimmed(plain, form)) {
				t.Errorf("%v: got %+v", form, pod)
			}
		}
		if !slices.Equal(noted, []string{runtime.ContentTypeJSON}) {
			t.Errorf("noted %v", noted)
		}
	}
}

// A length allocates nothing: only what is there does.
func TestHostileLengths(t *testing.T) {
	pod, err := samplepod.Executor(1, 1).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := newComparison()
	for _, path := range [][]byte{{}, {0, 7, 0}, {1, 7, 0}, {2, 7, 0}, {1, 7, 0, 1, 7, 0}, {2, 7, 0, 1, 7, 0}} {
		for bits := byte(0); bits < 64; bits += 9 {
			for of := range byte(16) {
				data := wrapped("Pod", damaged(pod, append(bytes.Clone(path), of, 5, bits)))
				for _, form := range forms {
					if used := allocated(func() { decode(c.ours[form], data) }); used > 1<<20 {
						t.Errorf("%v: %d bytes for a frame of %d, at %v with a length of 2^%d", form, used, len(data), path, bits)
					}
				}
			}
		}
	}
	many := wrapped("Pod", bytes.Repeat([]byte{podStatus<<3 | bytesKind, 0}, 1<<15))
	if used := allocated(func() { decode(c.ours[Full], many) }); used > 1<<20 {
		t.Errorf("%d bytes for a frame of %d", used, len(many))
	}
	frame := append([]byte{0x7f, 0xff, 0xff, 0xff}, eventOf(t, "MODIFIED", samplepod.Executor(1, 1))...)
	if used := allocated(func() { events(c.ours[Full], frame) }); used > 1<<20 {
		t.Errorf("%d bytes for a stream of %d", used, len(frame))
	}
}

func allocated(work func()) uint64 {
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	work()
	goruntime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Lists and watches use one negotiator at once.
func TestConcurrentUse(t *testing.T) {
	c := newComparison()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				c.object(t, envelope(t, samplepod.Executor(i%3, i%5)))
			}
		})
	}
	wg.Wait()
}

func (f Form) String() string { return fmt.Sprintf("form %d", uint8(f)) }

// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	restwatch "k8s.io/client-go/rest/watch"

	"github.com/executorpods/watchsource/internal/podwire/envelope"
	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/protobuf/protobuftest"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// Any pod, damaged or not, is read as client-go reads it, and trimmed.
func FuzzPod(f *testing.F) {
	for seed := range uint64(4) { // one for each memory
		f.Add(seed, []byte{})
		for part := range byte(3) { // metadata, spec, status
			for how := range byte(7) {
				f.Add(seed, []byte{part, how, byte(37 * seed)})
			}
			for of := range byte(16) { // and within
				how, more := of%7, byte(37*seed)
				f.Add(seed, []byte{part, 7, 0, of, 0, 0})
				f.Add(seed, []byte{part, 7, 0, of, how, more})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, 0, 3, protobuf.BytesKind})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, byte(seed), how, more})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, byte(seed), 7, 0, 0, how, more})
			}
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		first, other := podtest.Filled(seed), podtest.Filled(seed+1)
		first.UID = cmp.Or(first.UID, "known") // to have states
		whole, err := first.Marshal()
		if err != nil {
			t.Skip(err)
		}
		namesake, err := other.Marshal()
		if err != nil {
			t.Skip(err)
		}
		pod := protobuftest.Damaged(whole, script)
		c := newComparison(last, memories[seed%uint64(len(memories))])
		c.object(t, wrapped("Pod", namesake))
		c.object(t, wrapped("Pod", whole))
		c.object(t, wrapped("Pod", pod))
		c.object(t, wrapped("Pod", whole))
		c.object(t, wrapped("PodList", listOf(whole, pod, namesake)))
		c.object(t, wrapped("Pod", protobuftest.Damaged(pod, script[min(len(script), 3):])))
		c.object(t, wrapped("Pod", namesake))
	})
}

// A state that differs from the one before in a single byte is not taken for the
// same, wherever that byte is.
func TestEveryByteCounts(t *testing.T) {
	pod := podtest.Executor(1, 1, true)
	pod.ManagedFields = pod.ManagedFields[1:] // the shorter ones
	whole, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := newComparison(last)
	c.object(t, wrapped("Pod", whole))
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		c.object(t, wrapped("Pod", changed))
		c.object(t, wrapped("Pod", whole))
	}
}

// A state of which a field is missing, comes twice or is out of place is not
// taken for the one before, two and three levels down.
func TestEveryFieldCounts(t *testing.T) {
	whole, err := podtest.Executor(1, 1, true).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := newComparison(last)
	c.object(t, wrapped("Pod", whole))
	differ := func(script ...byte) {
		c.object(t, wrapped("Pod", protobuftest.Damaged(whole, script)))
		c.object(t, wrapped("Pod", whole))
	}
	for part := range byte(3) {
		for of := range byte(16) {
			for how := range byte(4) {
				differ(part, 7, 0, of, how, 3)
				for within := range byte(16) {
					differ(part, 7, 0, of, 7, 0, within, how, 3)
				}
			}
		}
	}
}

// Containers as no server should report them.
func TestOddContainers(t *testing.T) {
	c := newComparison(memories...)
	for name, odd := range map[string][]byte{
		"started that is no number":        {9<<3 | protobuf.BytesKind, 0},
		"started that is neither":          {9<<3 | protobuf.VarintKind, 2},
		"started in two bytes":             {9<<3 | protobuf.VarintKind, 0x80, 0},
		"ready that is no number":          {4<<3 | protobuf.BytesKind, 0},
		"a name after what was resources":  {11<<3 | protobuf.BytesKind, 0, rawpod.ContainerStatusName<<3 | protobuf.BytesKind, 1, 'x'},
		"what was resources in two places": {12<<3 | protobuf.BytesKind, 3, 1<<3 | protobuf.BytesKind, 1, 'x', 13<<3 | protobuf.BytesKind, 0, 12<<3 | protobuf.BytesKind, 0},
		"what was resources, cut short":    {11<<3 | protobuf.BytesKind, 9},
	} {
		t.Run(name, func(t *testing.T) {
			for _, first := range []byte{rawpod.ContainerStatusName<<3 | protobuf.BytesKind, rawpod.ContainerStatusContainerID<<3 | protobuf.BytesKind} {
				container := append([]byte{first, 1, 'c'}, odd...)
				status := append([]byte{rawpod.StatusContainerStatuses<<3 | protobuf.BytesKind, byte(len(container))}, container...)
				pod := append([]byte{rawpod.PodMetadata<<3 | protobuf.BytesKind, 3, rawpod.MetaUID<<3 | protobuf.BytesKind, 1, 'u', rawpod.PodStatus<<3 | protobuf.BytesKind, byte(len(status))}, status...)
				c.object(t, wrapped("Pod", pod))
				c.object(t, wrapped("Pod", pod))
			}
		})
	}
}

// The fields of a manager as no server should send them. They are not decoded, and still the
// damage is found with each client-go.
func TestOddManagedFields(t *testing.T) {
	c := newComparison(memories...)
	for name, fields := range map[string][]byte{
		"none":                      {},
		"empty":                     {packing.FieldsRaw<<3 | protobuf.BytesKind, 0},
		"as they should be":         {packing.FieldsRaw<<3 | protobuf.BytesKind, 2, '{', '}'},
		"two times":                 {packing.FieldsRaw<<3 | protobuf.BytesKind, 0, packing.FieldsRaw<<3 | protobuf.BytesKind, 0},
		"that are a number":         {packing.FieldsRaw<<3 | protobuf.VarintKind, 2},
		"that are four bytes":       {packing.FieldsRaw<<3 | protobuf.Fixed32Kind, 1, 2, 3, 4},
		"cut short":                 {packing.FieldsRaw<<3 | protobuf.BytesKind, 9, '{', '}'},
		"of a newer API":            {2<<3 | protobuf.VarintKind, 1},
		"a field with the number 0": {0<<3 | protobuf.BytesKind, 0},
	} {
		t.Run(name, func(t *testing.T) {
			entry := append([]byte{7<<3 | protobuf.BytesKind, byte(len(fields))}, fields...)
			metadata := binary.AppendUvarint([]byte{rawpod.MetaUID<<3 | protobuf.BytesKind, 1, 'u'}, rawpod.MetaManagedFields<<3|protobuf.BytesKind)
			metadata = append(append(metadata, byte(len(entry))), entry...)
			c.object(t, wrapped("Pod", append([]byte{rawpod.PodMetadata<<3 | protobuf.BytesKind, byte(len(metadata))}, metadata...)))
		})
	}
}

// Labels as they may differ from those of the pod before in the same memory.
func TestLabelsOfTheNextPod(t *testing.T) {
	c := newComparison(memories...)
	text := func(number int, s string) []byte {
		return append([]byte{byte(number)<<3 | protobuf.BytesKind, byte(len(s))}, s...)
	}
	for i, labels := range [][]string{ // keys and values
		{"a", "1", "b", "2"},
		{"a", "1", "b", "3"},
		{"a", "1"},
		{},
		{"a", "1", "b", "3"},
		{"b", "3", "a", "1"},
		{"b", "", "a", "1"},
		{"a", "1", "a", "2"}, // as no server sends them
		{"a", "3", "a", "2"},
		{"a", "2", "c", "2", "b", "2"},
		{"a", "2", "b", "2", "c", "2"},
	} {
		metadata := append(text(rawpod.MetaName, "pod-2"), text(rawpod.MetaUID, "u")...)
		for j := 0; j < len(labels); j += 2 {
			entry := append(text(protobuf.MapKey, labels[j]), text(protobuf.MapValue, labels[j+1])...)
			metadata = append(metadata, text(rawpod.MetaLabels, string(entry))...)
		}
		t.Log(i, labels)
		c.object(t, wrapped("Pod", text(rawpod.PodMetadata, string(metadata))))
	}
}

// Whatever else may come in the place of an object.
func FuzzObject(f *testing.F) {
	pod := enveloped(f, podtest.Executor(1, 1, true))
	f.Add(pod)
	f.Add(pod[:len(pod)-1])
	f.Add(enveloped(f, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "more"}, Items: []corev1.Pod{*podtest.Executor(1, 1, true)}}))
	f.Add(enveloped(f, &metav1.Status{Status: metav1.StatusFailure, Code: 410}))
	f.Add(enveloped(f, &corev1.Node{}))
	f.Add(protobuftest.Damaged(pod[len(envelope.Magic):], []byte{0, 0, 0}))
	f.Add(bytes.ReplaceAll(pod, []byte("9011Mi"), []byte("90x1Mi"))) // no quantity
	f.Add(bytes.Replace(pod, []byte("v1"), []byte("v9"), 1))         // no version
	f.Add(wrapped("Pod", nil))
	f.Add(wrapped("Pod", []byte{1<<3 | 3, 1<<3 | 4})) // a group
	f.Add(wrapped("Pod", []byte{0, 0}))
	f.Add([]byte("k8s\x00"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newComparison(memories...)
		c.object(t, pod)
		c.object(t, data)
		c.object(t, pod)
		c.object(t, data)
	})
}

// A stream is cut into the same events, and ends with the same frame.
func FuzzStream(f *testing.F) {
	modified := eventOf(f, "MODIFIED", podtest.Executor(1, 1, true))
	bookmark := eventOf(f, "BOOKMARK", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"}})
	f.Add(slices.Concat(framed(modified), framed(bookmark)))
	f.Add(slices.Concat(framed(modified), framed(modified)[:100]))
	f.Add(slices.Concat(framed(eventOf(f, "ERROR", &metav1.Status{Code: 410})), framed(eventOf(f, "RENAMED", &corev1.Pod{}))))
	f.Add(framed(slices.Concat(modified, bookmark)))
	f.Add(slices.Concat([]byte{0xff, 0xff, 0xff, 0xff}, modified))
	f.Add([]byte("7"))
	f.Add(slices.Concat([]byte{0, 0, 0, 0}, framed(modified)))
	f.Add(framed(cutObject(f)))
	for how := range byte(7) {
		f.Add(slices.Concat(framed(protobuftest.Damaged(modified, []byte{1, how, 3})), framed(protobuftest.Damaged(bookmark, []byte{0, how, 130}))))
		f.Add(framed(protobuftest.Damaged(modified, []byte{1, 7, 0, 0, how, 17})))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := newComparison(memories...)
		c.stream(t, framed(modified))
		c.stream(t, stream)
	})
}

// wrapped puts a message into an envelope.
func wrapped(kind string, raw []byte) []byte {
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: kind}, Raw: raw}
	data, err := unknown.Marshal()
	if err != nil {
		panic(err)
	}
	return append(slices.Clone(envelope.Magic), data...)
}

func listOf(pods ...[]byte) []byte {
	meta := metav1.ListMeta{ResourceVersion: "5", Continue: "next"}
	data, err := meta.Marshal()
	if err != nil {
		panic(err)
	}
	out := append([]byte{rawpod.ListMetadata<<3 | protobuf.BytesKind, byte(len(data))}, data...)
	for _, pod := range pods {
		out = append(out, rawpod.ListItems<<3|protobuf.BytesKind)
		out = append(binary.AppendUvarint(out, uint64(len(pod))), pod...)
	}
	return out
}

func eventOf(tb testing.TB, kind string, object runtime.Object) []byte {
	tb.Helper()
	event := metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: enveloped(tb, object)}}
	frame, err := event.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return frame
}

// cutObject is an event whose object ends early.
func cutObject(tb testing.TB) []byte {
	tb.Helper()
	pod := enveloped(tb, podtest.Executor(1, 1, true))
	event := metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: pod[:len(pod)-1]}}
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

// theirNext reads a stream the way client-go does.
func theirNext(negotiator runtime.ClientNegotiator, mediaType string, body io.ReadCloser) func() (watch.Event, error) {
	objects, serializer, framer, err := negotiator.StreamDecoder(mediaType, nil)
	if err != nil {
		panic(err)
	}
	decoder := restwatch.NewDecoder(streaming.NewDecoder(framer.NewFrameReader(body), serializer), objects)
	return func() (event watch.Event, err error) {
		defer failOnPanic(&err)
		kind, object, err := decoder.Decode()
		return watch.Event{Type: kind, Object: object}, err
	}
}

func theirEvents(negotiator runtime.ClientNegotiator, stream []byte) []happened {
	return all(theirNext(negotiator, runtime.ContentTypeProtobuf, io.NopCloser(bytes.NewReader(stream))))
}

// events returns the events of a stream. It passes each object on before the next frame is read
// into the memory of its frame.
func (r *receiver) events(stream []byte, pass func(i int, object runtime.Object)) []happened {
	next, i := r.Stream(io.NopCloser(bytes.NewReader(stream))).Next, 0
	return all(func() (watch.Event, error) {
		event, err := next()
		if err == nil {
			pass(i, event.Object)
		}
		i++
		return event, err
	})
}

// all returns the events up to the end or the first error.
func all(next func() (watch.Event, error)) []happened {
	var all []happened
	for {
		event, err := next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return all
		}
		all = append(all, happened{kind: event.Type, object: event.Object, err: err})
		if err != nil {
			return all
		}
	}
}

// refused reports whether a stream ends, after n events, with a frame that is
// announced longer than any may be, or is for that reason taken for JSON if it is
// the first. Client-go waits for as much as it would take of it, and by then these
// streams have ended.
func refused(stream []byte, got []happened, n int) bool {
	if len(got) != n+1 || got[n].err == nil {
		return false
	}
	return errors.Is(got[n].err, streaming.ErrObjectTooLarge) || n == 0 && stream[0] != 0
}

// A stream distinguishes its end from a cut, and rejects a frame that is too long at once.
func TestEndsOfStreams(t *testing.T) {
	frame := framed(eventOf(t, "MODIFIED", podtest.Executor(1, 1, true)))
	for name, test := range map[string]struct {
		stream []byte
		events int
		err    error
	}{
		"in good order":        {stream: slices.Concat(frame, frame), events: 2, err: io.EOF},
		"cut in a length":      {stream: slices.Concat(frame, frame[:3]), events: 1, err: io.ErrUnexpectedEOF},
		"cut after a length":   {stream: slices.Concat(frame, frame[:4]), events: 1, err: io.ErrUnexpectedEOF},
		"cut in a frame":       {stream: slices.Concat(frame, frame[:len(frame)-1]), events: 1, err: io.ErrUnexpectedEOF},
		"cut in a long frame":  {stream: slices.Concat(frame, []byte{0, 2, 0, 0}, frame), events: 1, err: io.ErrUnexpectedEOF},
		"a frame too long":     {stream: slices.Concat(frame, []byte{1, 0, 0, 1}, frame), events: 1, err: streaming.ErrObjectTooLarge},
		"empty":                {stream: nil, events: 0, err: io.EOF},
		"cut before any event": {stream: frame[:1], events: 0, err: io.ErrUnexpectedEOF},
	} {
		stream := NewNegotiator(clientGo(), Wire, nil, nil, func(string) {}).Stream(io.NopCloser(bytes.NewReader(test.stream)))
		for i := range test.events {
			if _, err := stream.Next(); err != nil {
				t.Errorf("%s: event %d: %v", name, i, err)
			}
		}
		if _, err := stream.Next(); !errors.Is(err, test.err) || test.err == io.EOF && err != io.EOF {
			t.Errorf("%s: %v, want %v", name, err, test.err)
		}
	}
}

// A frame that the buffer has no room for is read all the same.
func TestLongFrame(t *testing.T) {
	want := podtest.Executor(1, 1, true)
	want.Annotations["long"] = strings.Repeat("x", 3*64<<10)
	want.ManagedFields = nil
	frame := framed(eventOf(t, "ADDED", want))
	stream := NewNegotiator(clientGo(), Wire, nil, nil, func(string) {}).Stream(io.NopCloser(bytes.NewReader(slices.Concat(frame, frame))))
	for range 2 {
		event, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.Object.(*Pod).Decode()
		if err != nil {
			t.Fatal(err)
		}
		if event.Type != watch.Added || got.Annotations["long"] != want.Annotations["long"] {
			t.Errorf("%s with an annotation of %d bytes, want %s with %d", event.Type, len(got.Annotations["long"]), watch.Added, len(want.Annotations["long"]))
		}
	}
}

// A stream of JSON is read as client-go reads it.
func TestStreamOfJSON(t *testing.T) {
	event := slices.Concat([]byte(`{"type":"MODIFIED","object":`), inJSON(t, podtest.Executor(1, 1, true)), []byte("}\n"))
	body := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(slices.Concat(event, event))) }
	var noted []string
	negotiator := NewNegotiator(clientGo(), Wire, nil, nil, func(mediaType string) { noted = append(noted, mediaType) })
	stream, fallback := negotiator.Stream(body()), theirNext(clientGo(), runtime.ContentTypeJSON, body())
	r := newReceiver(last)
	for range 2 {
		want, err := fallback()
		if err != nil {
			t.Fatal(err)
		}
		got, err := stream.Next()
		if err != nil || got.Type != want.Type {
			t.Fatalf("got %s of a %T, %v, want %s", got.Type, got.Object, err, want.Type)
		}
		r.compare(t, got.Object, want.Object)
	}
	r.recheck(t)
	if _, err := stream.Next(); err != io.EOF {
		t.Errorf("%v, want the end", err)
	}
	if !slices.Equal(noted, []string{runtime.ContentTypeJSON}) {
		t.Errorf("noted %q, want %q once", noted, runtime.ContentTypeJSON)
	}
}

func inJSON(tb testing.TB, object runtime.Object) []byte {
	tb.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	data, err := runtime.Encode(info.Serializer, object)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// Nothing that a server may rightly send is left to client-go: if it were, the
// tests above would compare client-go with itself.
func TestNothingIsLeft(t *testing.T) {
	d := newDecoder(Wire, nil, nil)
	for seed := range uint64(200) {
		pod, err := podtest.Filled(seed).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if d.object(wrapped("Pod", pod)) == nil {
			t.Errorf("the pod of seed %d is not decoded, want it decoded", seed)
		}
		for part := range byte(3) {
			newer := protobuftest.Damaged(pod, []byte{part, 7, 0, 0, 3, protobuf.Fixed64Kind})
			if d.object(wrapped("Pod", newer)) == nil {
				t.Errorf("the pod of seed %d with a field of a newer API is not decoded, want it decoded", seed)
			}
		}
		if d.object(wrapped("PodList", listOf(pod, pod))) == nil {
			t.Errorf("the list of seed %d is not decoded, want it decoded", seed)
		}
	}
	for _, kind := range []string{"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"} {
		if got, _, ok := envelope.Event(eventOf(t, kind, &corev1.Pod{})); !ok || string(got) != kind {
			t.Errorf("%s event is not decoded, want it decoded", kind)
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

// What a caller changes in a decoded pod does not change the pod, and no other caller sees it.
func TestDecodedPodsArePrivate(t *testing.T) {
	wire := newReceiver(none)
	object, err := decode(wire, enveloped(t, podtest.Executor(1, 1, true)))
	if err != nil {
		t.Fatal(err)
	}
	for name, pod := range map[string]*Pod{"wire form": object.(*Pod), "decoded": Of(podtest.Executor(1, 1, true))} {
		first, err := pod.Decode()
		if err != nil {
			t.Fatal(err)
		}
		want := first.DeepCopy()
		first.Labels["team"] = "another"
		first.Spec.Containers[0].Env[0].Value = "another"
		first.Status.Conditions[0].Reason = "another"
		second, err := pod.Decode()
		if err != nil || !reflect.DeepEqual(second, want) {
			t.Errorf("%s, %v: a later copy has what the caller of an earlier one has changed", name, err)
		}
		if first.ManagedFields != nil {
			t.Errorf("%s: a copy has managedFields, want none", name)
		}
	}
}

// Only data that has arrived is allocated, not an announced length.
func TestHostileLengths(t *testing.T) {
	pod, err := podtest.Executor(1, 1, true).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r := newReceiver(last)
	for _, path := range [][]byte{{}, {0, 7, 0}, {1, 7, 0}, {2, 7, 0}, {1, 7, 0, 1, 7, 0}, {2, 7, 0, 1, 7, 0}} {
		for bits := byte(0); bits < 64; bits += 9 {
			for of := range byte(16) {
				data := wrapped("Pod", protobuftest.Damaged(pod, append(bytes.Clone(path), of, 5, bits)))
				if used := allocated(func() { decode(r, data) }); used > 1<<20 {
					t.Errorf("%d bytes allocated for a frame of %d, at %v with a length of 2^%d, want at most 1 MB", used, len(data), path, bits)
				}
			}
		}
	}
	many := wrapped("Pod", bytes.Repeat([]byte{rawpod.PodStatus<<3 | protobuf.BytesKind, 0}, 1<<15))
	if used := allocated(func() { decode(r, many) }); used > 1<<20 {
		t.Errorf("%d bytes allocated for a frame of %d, want at most 1 MB", used, len(many))
	}
	frame := append([]byte{0x7f, 0xff, 0xff, 0xff}, eventOf(t, "MODIFIED", podtest.Executor(1, 1, true))...)
	if used := allocated(func() { r.events(frame, func(int, runtime.Object) {}) }); used > 1<<20 {
		t.Errorf("%d bytes allocated for a stream of %d, want at most 1 MB", used, len(frame))
	}
}

func allocated(work func()) uint64 {
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	work()
	goruntime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Lists and watches use one negotiator at once, while others decode its pods.
func TestConcurrentUse(t *testing.T) {
	negotiator := NewNegotiator(clientGo(), Wire, nil, nil, func(string) {})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				data := enveloped(t, podtest.Executor(i%3, i%5, i%2 == 0))
				want, err := decode(clientGo(), data)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := decode(negotiator, data)
				if err != nil {
					t.Error(err)
					return
				}
				pod := got.(*Pod)
				if decoded, err := pod.Decode(); err != nil || decoded.ManagedFields != nil || !podtest.Equal(decoded, withoutManagedFields(want)) {
					t.Errorf("pod %d differs from that of client-go, %v", i, err)
				}
				reader := Borrow()
				if read := reader.Read(pod); read.Name != pod.Name || read.Status.PodIP != want.(*corev1.Pod).Status.PodIP {
					t.Errorf("pod %d is read as %s at %s", i, read.Name, read.Status.PodIP)
				}
				reader.GiveBack()
			}
		})
	}
	wg.Wait()
}

func withoutManagedFields(object runtime.Object) *corev1.Pod {
	pod := object.(*corev1.Pod)
	pod.ManagedFields = nil
	return pod
}

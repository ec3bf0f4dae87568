// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	restwatch "k8s.io/client-go/rest/watch"

	"github.com/executorpods/watchsource/internal/podwire/protobuf/protobuftest"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

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

// A stream waits for more events before a read only after Gather.
func TestStreamGathers(t *testing.T) {
	const events, interval = 100, 5 * time.Millisecond
	frame := framed(eventOf(t, "MODIFIED", podtest.Executor(1, 1, true)))
	for name, gather := range map[string]bool{"before the list is complete": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body, server := io.Pipe()
				stream := NewNegotiator(clientGo(), Wire, nil, nil, func(string) {}).Stream(body)
				if gather {
					stream.Gather()
				}
				began := time.Now()
				go func() {
					for range events {
						time.Sleep(interval)
						server.Write(frame)
					}
					server.Close()
				}()
				late := 0
				for i := range events {
					if _, err := stream.Next(); err != nil {
						t.Fatal(err)
					}
					if time.Since(began) > time.Duration(i+1)*interval {
						late++
					}
				}
				if gather != (late > 0) {
					t.Errorf("%d of %d events are late, want some: %t", late, events, gather)
				}
			})
		})
	}
}

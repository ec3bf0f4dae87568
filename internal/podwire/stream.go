// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	restwatch "k8s.io/client-go/rest/watch"

	"github.com/executorpods/watchsource/internal/podwire/envelope"
	"github.com/executorpods/watchsource/internal/podwire/frames"
)

// A Stream reads the body of a watch, event by event, without another goroutine, a
// channel or a copy of a frame. Only one goroutine at a time may call Next.
type Stream struct {
	frames     *frames.Reader
	negotiator *Negotiator
	// envelopes is client-go's decoder, for unusual events.
	envelopes runtime.Decoder
	// objects decodes the objects in the envelopes. It is nil before the first event.
	objects *objectDecoder
	// json decodes a stream of JSON. It is nil for any other.
	json *restwatch.Decoder
}

// Stream returns a Stream that reads the answer to a watch. It detects the media type:
// the length of a frame begins with 0, and JSON does not.
func (n *Negotiator) Stream(body io.ReadCloser) *Stream {
	return &Stream{frames: frames.NewReader(body), negotiator: n}
}

// Next returns the next event. It returns io.EOF after the last event,
// io.ErrUnexpectedEOF if the stream ends within a frame, or another error if the stream
// cannot be read further.
func (s *Stream) Next() (watch.Event, error) {
	if s.objects == nil {
		if err := s.begin(); err != nil {
			return watch.Event{}, err
		}
	}
	if s.json != nil {
		kind, object, err := s.json.Decode()
		return watch.Event{Type: kind, Object: object}, err
	}
	frame, err := s.frames.Next()
	if err != nil {
		return watch.Event{}, err
	}
	return s.event(frame)
}

// Gather lets Next wait for a short time before it reads, if events come one by one. The caller
// calls it when the list is complete.
func (s *Stream) Gather() { s.frames.Gather() }

// Close closes the body. It may be called while Next waits for it, and more than once.
func (s *Stream) Close() error { return s.frames.Close() }

// begin detects the media type of the stream.
func (s *Stream) begin() error {
	first, err := s.frames.First()
	if err != nil {
		return err
	}
	mediaType := runtime.ContentTypeProtobuf
	if first != 0 {
		mediaType = runtime.ContentTypeJSON
	}
	objects, serializer, framer, err := s.negotiator.streamDecoder(mediaType, nil)
	if err != nil {
		return err
	}
	s.objects, s.envelopes = objects, serializer
	if mediaType == runtime.ContentTypeJSON {
		objects := framer.NewFrameReader(io.NopCloser(s.frames))
		s.json = restwatch.NewDecoder(streaming.NewDecoder(objects, serializer), s.objects)
	}
	return nil
}

func (s *Stream) event(frame []byte) (watch.Event, error) {
	kind, raw, ok := envelope.Event(frame)
	if !ok {
		var fallback metav1.WatchEvent
		if _, _, err := s.envelopes.Decode(frame, nil, &fallback); err != nil {
			return watch.Event{}, err
		}
		kind, raw = watch.EventType(fallback.Type), fallback.Object.Raw
		if _, ok := envelope.EventType([]byte(kind)); !ok {
			return watch.Event{}, fmt.Errorf("invalid event type %q", kind)
		}
	}
	s.objects.bookmark = kind == watch.Bookmark
	object, _, err := s.objects.Decode(raw, nil, nil)
	if err != nil {
		// Not wrapped: an object that ends early is not the end of the stream.
		return watch.Event{}, fmt.Errorf("decode the object of an event: %v", err)
	}
	return watch.Event{Type: kind, Object: object}, nil
}

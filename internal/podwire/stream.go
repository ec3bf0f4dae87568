// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	restwatch "k8s.io/client-go/rest/watch"

	"github.com/executorpods/watchsource/internal/podwire/envelope"
)

const (
	// longestFrame is client-go's limit (apimachinery, serializer/streaming).
	longestFrame = 16 << 20
	frameHead    = 4 // bytes, the length of the frame that follows
)

// A Stream reads the body of a watch, event by event, without another goroutine, a
// channel or a copy of a frame. Only one goroutine at a time may call Next.
type Stream struct {
	body       io.Closer
	in         *readBuffer
	pace       *pace
	negotiator *Negotiator
	envelopes  runtime.Decoder    // client-go's, for unusual events
	objects    *objectDecoder     // decodes the objects in the envelopes; nil before the first event
	json       *restwatch.Decoder // decodes a stream of JSON
}

// Stream returns a Stream that reads the answer to a watch. It detects the media type:
// the length of a frame begins with 0, and JSON does not.
func (n *Negotiator) Stream(body io.ReadCloser) *Stream {
	return &Stream{body: body, in: newReadBuffer(body), pace: newPace(), negotiator: n}
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
	frame, err := s.frame()
	if err != nil {
		return watch.Event{}, err
	}
	return s.event(frame)
}

// Gather lets Next wait for at most gatherTime before it reads, if events come one by one. The
// caller calls it when the list is complete.
func (s *Stream) Gather() { s.in.pace = s.pace }

// Close closes the body. It may be called while Next waits for it, and more than once.
func (s *Stream) Close() error {
	s.pace.close()
	return s.body.Close()
}

// begin detects the media type of the stream.
func (s *Stream) begin() error {
	first, err := s.in.peek(1)
	if err != nil {
		return err
	}
	mediaType := runtime.ContentTypeProtobuf
	if first[0] != 0 {
		mediaType = runtime.ContentTypeJSON
	}
	objects, serializer, framer, err := s.negotiator.streamDecoder(mediaType, nil)
	if err != nil {
		return err
	}
	s.objects, s.envelopes = objects, serializer
	if mediaType == runtime.ContentTypeJSON {
		frames := framer.NewFrameReader(io.NopCloser(s.in))
		s.json = restwatch.NewDecoder(streaming.NewDecoder(frames, serializer), s.objects)
	}
	return nil
}

// frame returns the next frame, which is valid until the one after it.
func (s *Stream) frame() ([]byte, error) {
	head, err := s.in.peek(frameHead)
	if err != nil {
		return nil, cutShort(err, len(head))
	}
	length := int(binary.BigEndian.Uint32(head))
	if length > longestFrame {
		return nil, streaming.ErrObjectTooLarge
	}
	if length > bigRead {
		return s.longFrame(length)
	}
	s.in.discard(frameHead)
	frame, err := s.in.peek(length)
	if err != nil {
		return nil, cutShort(err, frameHead)
	}
	s.in.discard(length)
	return frame, nil
}

// longFrame returns a frame that is larger than the buffer. It allocates as data arrives,
// not by the announced length.
func (s *Stream) longFrame(length int) ([]byte, error) {
	s.in.discard(frameHead)
	var frame bytes.Buffer
	if _, err := io.CopyN(&frame, s.in, int64(length)); err != nil {
		return nil, cutShort(err, frameHead)
	}
	return frame.Bytes(), nil
}

// cutShort returns io.ErrUnexpectedEOF for an end within a frame.
func cutShort(err error, had int) error {
	if errors.Is(err, io.EOF) && had > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
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

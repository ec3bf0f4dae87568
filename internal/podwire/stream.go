// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bufio"
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
)

const (
	// readAhead is how much of a stream is read at once, if it has that much. Over
	// HTTP/2 each read may have to tell the server that there is room again.
	readAhead = 64 << 10
	// longestFrame is client-go's limit (apimachinery, serializer/streaming).
	longestFrame = 16 << 20
	frameHead    = 4 // bytes, the length of the frame that follows
)

// A Stream is the body of a watch, to be read event by event. Nothing stands
// between it and the connection: no goroutine, no channel, no copy of a frame.
// One goroutine at a time may call Next.
type Stream struct {
	body       io.Closer
	in         *bufio.Reader
	negotiator *Negotiator
	envelopes  runtime.Decoder    // client-go's, for what is unusual
	objects    runtime.Decoder    // of what stands in the envelopes; nil before the first event
	json       *restwatch.Decoder // all there is to do, in a stream of JSON
}

// Stream reads the answer to a watch. Its media type is not told, but shows: the
// length of a frame begins with 0, and no JSON does.
func (n *Negotiator) Stream(body io.ReadCloser) *Stream {
	return &Stream{body: body, in: bufio.NewReaderSize(body, readAhead), negotiator: n}
}

// Next returns the next event, io.EOF after the last, io.ErrUnexpectedEOF where
// the stream is cut in a frame, or why it cannot be read further.
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

// Close closes the body. It may be called while Next waits for it.
func (s *Stream) Close() error { return s.body.Close() }

// begin finds out what the stream is in.
func (s *Stream) begin() error {
	first, err := s.in.Peek(1)
	if err != nil {
		return err
	}
	mediaType := runtime.ContentTypeProtobuf
	if first[0] != 0 {
		mediaType = runtime.ContentTypeJSON
	}
	objects, serializer, framer, err := s.negotiator.StreamDecoder(mediaType, nil)
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
	head, err := s.in.Peek(frameHead)
	if err != nil {
		return nil, cutShort(err, len(head))
	}
	length := int(binary.BigEndian.Uint32(head))
	if length > longestFrame {
		return nil, streaming.ErrObjectTooLarge
	}
	if length > readAhead {
		return s.longFrame(length)
	}
	s.in.Discard(frameHead)
	frame, err := s.in.Peek(length)
	if err != nil {
		return nil, cutShort(err, frameHead)
	}
	s.in.Discard(length)
	return frame, nil
}

// longFrame returns a frame that the buffer has no room for. What is allocated
// follows what has come, not what is announced.
func (s *Stream) longFrame(length int) ([]byte, error) {
	s.in.Discard(frameHead)
	var frame bytes.Buffer
	if _, err := io.CopyN(&frame, s.in, int64(length)); err != nil {
		return nil, cutShort(err, frameHead)
	}
	return frame.Bytes(), nil
}

// cutShort tells the end of a stream from an end within a frame.
func cutShort(err error, had int) error {
	if errors.Is(err, io.EOF) && had > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *Stream) event(frame []byte) (watch.Event, error) {
	kind, raw, ok := event(frame)
	if !ok {
		var theirs metav1.WatchEvent
		if _, _, err := s.envelopes.Decode(frame, nil, &theirs); err != nil {
			return watch.Event{}, err
		}
		kind, raw = watch.EventType(theirs.Type), theirs.Object.Raw
		if _, ok := eventType([]byte(kind)); !ok {
			return watch.Event{}, fmt.Errorf("invalid event type %q", kind)
		}
	}
	object, _, err := s.objects.Decode(raw, nil, nil)
	if err != nil {
		// Not wrapped: that an object ends early is no end of the stream.
		return watch.Event{}, fmt.Errorf("decode the object of an event: %v", err)
	}
	return watch.Event{Type: kind, Object: object}, nil
}

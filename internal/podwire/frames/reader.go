// SPDX-License-Identifier: Apache-2.0

// Package frames reads the frames of a watch from the body of its answer.
//
// A [Reader] has a small buffer while its stream is idle, and borrows a large one while data
// arrives. While events come one by one it waits before a read, so that the read returns several of
// them. It starts no goroutine.
package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
)

const (
	// longestFrame is client-go's limit (apimachinery, serializer/streaming).
	longestFrame = 16 << 20
	// headSize is the size in bytes of the length before each frame.
	headSize = 4
)

// A Reader reads frames. Only one goroutine at a time may call its methods, but for Close.
type Reader struct {
	body io.Closer
	in   *buffer
}

// NewReader returns a Reader of a body.
func NewReader(body io.ReadCloser) *Reader { return &Reader{body: body, in: newBuffer(body)} }

// First returns the first byte of the next frame, which it does not consume.
func (r *Reader) First() (byte, error) {
	first, err := r.in.peek(1)
	if err != nil {
		return 0, err
	}
	return first[0], nil
}

// Next returns the next frame, which is valid until the one after it. It returns io.EOF after the last
// frame, and io.ErrUnexpectedEOF if the stream ends within a frame.
func (r *Reader) Next() ([]byte, error) {
	head, err := r.in.peek(headSize)
	if err != nil {
		return nil, cutShort(err, len(head))
	}
	length := int(binary.BigEndian.Uint32(head))
	if length > longestFrame {
		return nil, streaming.ErrObjectTooLarge
	}
	if length > bigRead {
		return r.longFrame(length)
	}
	r.in.discard(headSize)
	frame, err := r.in.peek(length)
	if err != nil {
		return nil, cutShort(err, headSize)
	}
	r.in.discard(length)
	return frame, nil
}

// longFrame returns a frame that is larger than the buffer. It allocates as data arrives,
// not by the announced length.
func (r *Reader) longFrame(length int) ([]byte, error) {
	r.in.discard(headSize)
	var frame bytes.Buffer
	if _, err := io.CopyN(&frame, r.in, int64(length)); err != nil {
		return nil, cutShort(err, headSize)
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

// Read implements [io.Reader]. It reads the stream without regard to frames.
func (r *Reader) Read(p []byte) (int, error) { return r.in.Read(p) }

// Gather lets a read wait for at most gatherTime, if events come one by one.
func (r *Reader) Gather() { r.in.paced = true }

// Close closes the body, and ends a wait. Any goroutine may call it, and more than once.
func (r *Reader) Close() error {
	r.in.pace.close()
	return r.body.Close()
}

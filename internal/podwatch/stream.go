// SPDX-License-Identifier: Apache-2.0

package podwatch

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
)

// A Stream is an open watch that is given up when its context ends. One goroutine at a time reads
// it.
type Stream struct {
	// From is the version that the stream was opened from, "" for a streaming list.
	From string
	// Requested is when the watch was requested, and Opened when it was answered or taken for open.
	Requested, Opened time.Time
	// Timeout is the time after which the server was asked to end the stream.
	Timeout time.Duration
	// Probe is set if the stream was opened to see whether the server is there.
	Probe bool
	// Held is set if the stream was taken for open before it was answered.
	Held bool

	events podclient.Events
	ctx    context.Context
	cancel context.CancelCauseFunc
	// silence ends ctx. It runs while an event is waited for.
	silence *time.Timer
	// waiting is set while an event is waited for. Any goroutine may read it.
	waiting atomic.Bool
}

func newStream(ctx context.Context, cancel context.CancelCauseFunc, events podclient.Events, timeout time.Duration) *Stream {
	silence := time.AfterFunc(timeout, func() { cancel(failure.ErrStalled) })
	silence.Stop()
	return &Stream{events: events, ctx: ctx, cancel: cancel, silence: silence, Opened: time.Now(), Timeout: timeout}
}

// NoLimit is the patience with a stream that cannot stall. No timer runs, so that the bubble
// of a test does not jump to its end.
const NoLimit time.Duration = math.MaxInt64

// Next waits for an event, for no longer than patience. If the stream was given
// up it returns the cause of that.
func (s *Stream) Next(patience time.Duration) (watch.Event, error) {
	if patience != NoLimit {
		s.silence.Reset(patience)
	}
	s.waiting.Store(true)
	event, err := s.events.Next()
	s.waiting.Store(false)
	s.silence.Stop()
	if err != nil && s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	}
	return event, err
}

// Gather lets the stream wait for a moment, so that several events are read at a time.
func (s *Stream) Gather() {
	if wire, ok := s.events.(interface{ Gather() }); ok {
		wire.Gather()
	}
}

// Context ends when the stream is closed or given up.
func (s *Stream) Context() context.Context { return s.ctx }

// GiveUp ends the stream. [Stream.Next] returns the cause. Any goroutine may call it.
func (s *Stream) GiveUp(cause error) { s.cancel(cause) }

// Close ends the stream, and returns when the client has ended it too.
func (s *Stream) Close() {
	s.events.Close()
	s.cancel(nil)
}

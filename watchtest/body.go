// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// body is the body of a response. Writers append to its queue without blocking, and one
// reader takes from it in order. Effects on a stream are queued too, so they come after the
// frames that were sent before.
//
// A Read waits only on channels and timers, and a body has no goroutine.
type body struct {
	media *media
	wake  chan struct{} // capacity 1: an item may have been queued
	stop  func() bool   // stops watching the request's context
	onEnd func()        // called without mu when the client can read no more

	mu       sync.Mutex // guards the following
	queue    []item
	finished bool  // nothing can be queued any more
	err      error // what Read returns from now on

	// State of reading.
	pending   []byte          // the rest of the current item
	silence   <-chan struct{} // if not nil, no bytes until it is closed
	tear      bool            // the next document ends in the middle
	malform   bool            // the next document is damaged
	chunk     int             // bytes per pause; 0 for no limit
	pause     time.Duration
	notBefore time.Time // end of the current pause
}

// item is an entry of the queue. Exactly one field is set.
type item struct {
	document document
	raw      []byte
	effect   *activeEffect
	end      error
}

func newBody(ctx context.Context, m *media, onEnd func()) *body {
	b := &body{media: m, wake: make(chan struct{}, 1), onEnd: onEnd}
	// Read does not select on ctx.Done, because synctest does not count a goroutine as
	// blocked while it waits for a context from outside the bubble.
	b.stop = context.AfterFunc(ctx, func() { b.cancel(ctx.Err()) })
	return b
}

func (b *body) Read(p []byte) (int, error) {
	for {
		n, silence, pause, err := b.take(p)
		if err != nil {
			b.onEnd() // a torn stream ends here, without a call by the server
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		var resume <-chan time.Time
		if pause > 0 {
			resume = time.After(pause)
		}
		select {
		case <-b.wake:
		case <-silence:
		case <-resume:
		}
	}
}

// awaitFirst waits until a Read would return at once, or until lifted is closed.
func (b *body) awaitFirst(lifted <-chan struct{}) {
	for {
		silence, ready := b.readable()
		if ready {
			return
		}
		select {
		case <-b.wake:
		case <-silence:
		case <-lifted:
			return
		}
	}
}

// readable reports whether a Read would return at once, or else the silence that it would
// wait for.
func (b *body) readable() (silence <-chan struct{}, ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ready = b.advance() || b.err != nil
	return b.silence, ready
}

// Close ends a Read in progress and removes the stream from the server.
func (b *body) Close() error {
	b.stop()
	b.cancel(http.ErrBodyReadAfterClose)
	return nil
}

// cancel ends the body from the client's side and drops the queue.
func (b *body) cancel(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.finished, b.queue, b.pending = true, nil, nil
	b.mu.Unlock()
	b.signal()
	b.onEnd()
}

func (b *body) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// push queues an item.
func (b *body) push(it item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.finished {
		b.queue = append(b.queue, it)
		b.signal()
	}
}

// finish queues the end of the body.
func (b *body) finish(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finishLocked(err)
}

func (b *body) finishLocked(err error) {
	if !b.finished {
		b.queue = append(b.queue, item{end: err})
		b.finished = true
		b.signal()
	}
}

// queueEffect queues an effect, which starts after the items queued so far.
func (b *body) queueEffect(a activeEffect) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.effect.kind == breaking {
		b.dropSilent()
		b.finishLocked(a.effect.err)
		return
	}
	it := item{effect: &a}
	if a.effect.kind == sendingRaw {
		it = item{raw: a.effect.raw}
	}
	if !b.finished {
		b.queue = append(b.queue, it)
		b.signal()
	}
}

// discard ends the body and drops the unread bytes, as a crash of the server does.
func (b *body) discard(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished && len(b.queue) == 0 {
		return
	}
	b.queue, b.pending, b.silence, b.finished = nil, nil, nil, false
	b.finishLocked(err)
}

// dropSilent drops the frames that a silence holds back. A broken connection does not
// deliver them later.
func (b *body) dropSilent() {
	if b.silence != nil && !closed(b.silence) {
		b.silence, b.queue = nil, nil
		return
	}
	silent := slices.IndexFunc(b.queue, func(it item) bool {
		return it.effect != nil && it.effect.effect.kind == silence && !closed(it.effect.lifted)
	})
	if silent >= 0 {
		b.queue = b.queue[:silent]
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// take reads without waiting. If it has nothing to read, it returns the silence or the pause
// that Read must wait for. A signal on the wake channel also ends that wait.
func (b *body) take(p []byte) (n int, silence <-chan struct{}, pause time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait := time.Until(b.notBefore); wait > 0 && b.err == nil {
		return 0, nil, wait, nil
	}
	for b.advance() && n < b.limit(p) { // in this order: advance may lower the limit
		m := copy(p[n:b.limit(p)], b.pending)
		b.pending = b.pending[m:]
		n += m
	}
	if n == 0 {
		return 0, b.silence, 0, b.err
	}
	if b.pause > 0 {
		b.notBefore = time.Now().Add(b.pause)
	}
	return n, nil, 0, nil
}

// limit returns how many bytes one Read may return.
func (b *body) limit(p []byte) int {
	if b.chunk > 0 {
		return min(len(p), b.chunk)
	}
	return len(p)
}

// advance fills pending from the queue. It reports whether pending has bytes.
func (b *body) advance() bool {
	for len(b.pending) == 0 {
		if b.silence != nil && closed(b.silence) {
			b.silence = nil
		}
		if b.err != nil || b.silence != nil || len(b.queue) == 0 {
			return false
		}
		next := b.queue[0]
		b.queue[0] = item{}
		b.queue = b.queue[1:]
		b.apply(next)
	}
	return true
}

func (b *body) apply(next item) {
	switch {
	case next.end != nil:
		b.err = next.end
	case next.raw != nil:
		b.pending = next.raw
	case next.document != nil:
		b.write(next.document)
	case next.effect != nil:
		b.applyEffect(next.effect)
	}
}

func (b *body) write(d document) {
	b.pending = d.encode(b.media, b.malform)
	b.malform = false
	if b.tear {
		b.tear = false
		b.pending = b.pending[:len(b.pending)/2]
		b.queue, b.finished = []item{{end: errTorn}}, true
	}
}

func (b *body) applyEffect(a *activeEffect) {
	switch a.effect.kind {
	case silence:
		b.silence = a.lifted
	case tear:
		b.tear = true
	case malform:
		b.malform = true
	case slow:
		b.chunk, b.pause = a.effect.bytes, a.effect.pause
	}
}

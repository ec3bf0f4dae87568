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
	wake  chan struct{} // holds one: there may be something new
	leave func() bool   // forgets the request's context
	gone  func()        // called when the client is, without mu

	mu       sync.Mutex // guards the following
	queue    []item
	finished bool  // nothing can be queued any more
	err      error // what Read returns from now on

	// State of reading.
	pending   []byte          // of the item that is being read
	held      <-chan struct{} // silent until it is closed
	tear      bool            // the next document breaks off
	malform   bool            // the next document is damaged
	chunk     int             // bytes per pause; 0 for no limit
	pause     time.Duration
	notBefore time.Time // end of the current pause
}

// item is an entry of the queue: exactly one field is set.
type item struct {
	document document
	raw      []byte
	effect   *activeEffect
	end      error
}

func newBody(ctx context.Context, m *media, gone func()) *body {
	b := &body{media: m, wake: make(chan struct{}, 1), gone: gone}
	// Not a case of Read's select: a context made outside of a bubble would
	// keep Read from counting as blocked.
	b.leave = context.AfterFunc(ctx, func() { b.abandon(ctx.Err()) })
	return b
}

func (b *body) Read(p []byte) (int, error) {
	for {
		n, held, pause, err := b.take(p)
		if err != nil {
			b.gone() // a torn stream ends here, unknown to the server
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
		case <-held:
		case <-resume:
		}
	}
}

// Close ends a Read in progress; the server's side learns of it.
func (b *body) Close() error {
	b.leave()
	b.abandon(http.ErrBodyReadAfterClose)
	return nil
}

// abandon ends the body from the client's side and drops the queue.
func (b *body) abandon(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.finished, b.queue, b.pending = true, nil, nil
	b.mu.Unlock()
	b.signal()
	b.gone()
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

// finish queues the end.
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

// queueEffect queues an effect. A break takes effect after the frames queued so far.
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

// lose ends the body and drops the unread bytes, as if the server died.
func (b *body) lose(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished && len(b.queue) == 0 {
		return
	}
	b.queue, b.pending, b.held, b.finished = nil, nil, nil, false
	b.finishLocked(err)
}

// dropSilent drops the frames that silence holds back: a connection that breaks does not
// deliver them later.
func (b *body) dropSilent() {
	if b.held != nil && !closed(b.held) {
		b.held, b.queue = nil, nil
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

// take reads without waiting. If there is nothing to read, it says what can
// change that, besides the wake channel.
func (b *body) take(p []byte) (n int, held <-chan struct{}, pause time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait := time.Until(b.notBefore); wait > 0 && b.err == nil {
		return 0, nil, wait, nil
	}
	for b.advance() && n < b.room(p) { // in this order: to advance may take room
		m := copy(p[n:b.room(p)], b.pending)
		b.pending = b.pending[m:]
		n += m
	}
	if n == 0 {
		return 0, b.held, 0, b.err
	}
	if b.pause > 0 {
		b.notBefore = time.Now().Add(b.pause)
	}
	return n, nil, 0, nil
}

// room returns how many bytes one Read may return.
func (b *body) room(p []byte) int {
	if b.chunk > 0 {
		return min(len(p), b.chunk)
	}
	return len(p)
}

// advance makes bytes pending, if there are any to be had now.
func (b *body) advance() bool {
	for len(b.pending) == 0 {
		if b.held != nil && closed(b.held) {
			b.held = nil
		}
		if b.err != nil || b.held != nil || len(b.queue) == 0 {
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
		b.held = a.lifted
	case tear:
		b.tear = true
	case malform:
		b.malform = true
	case slow:
		b.chunk, b.pause = a.effect.bytes, a.effect.pause
	}
}

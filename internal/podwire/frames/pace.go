// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"sync"
	"time"
)

const (
	// gatherTime is how long a stream waits before a read while events come one by one. Each read
	// wakes the goroutine of the stream and the readers of the store, and over HTTP/2 it sends
	// the server window updates. Reading several events at a time is cheaper for both sides.
	gatherTime = 30 * time.Millisecond
	// busyTime is how long events must have come, without a pause of pauseTime, before reads wait.
	busyTime  = 100 * time.Millisecond
	pauseTime = 2 * gatherTime
	// blockedRead is longer than a read takes if data has arrived before it.
	blockedRead = 200 * time.Microsecond
)

// A pace makes the reads of a busy stream wait. The first events after a pause are not delayed. A
// read waits only if the one before it has blocked: all data that had arrived is read then. So no
// event is delayed by more than gatherTime, however little each read returns.
type pace struct {
	// closed ends a wait.
	closed chan struct{}
	close  func()

	// Owned by the goroutine that reads.

	// busySince is the time at which the last pause ended.
	busySince time.Time
	// last is the time at which the last read returned.
	last time.Time
	// blocked is true if the last read has blocked.
	blocked bool
	// waited is true if the stream has waited before the last read.
	waited bool
	timer  *time.Timer
}

func newPace() *pace {
	closed := make(chan struct{})
	return &pace{closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

// wait returns when the next read is due.
func (p *pace) wait() {
	p.waited = p.blocked && p.last.Sub(p.busySince) >= busyTime
	left := gatherTime - time.Since(p.last)
	if !p.waited || left <= 0 {
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(left)
	} else {
		p.timer.Reset(left)
	}
	select {
	case <-p.timer.C:
	case <-p.closed:
		p.timer.Stop()
	}
}

// returned notes that a read that began at a time has returned.
func (p *pace) returned(began time.Time) {
	now := time.Now()
	p.blocked = now.Sub(began) >= blockedRead
	if now.Sub(p.last) >= pauseTime {
		p.busySince = now
	}
	p.last = now
}

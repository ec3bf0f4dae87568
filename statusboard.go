// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"sync"
	"time"
)

// A statusBoard has the Status of a source or of a SharedWatch. Any goroutine may read and
// write it.
type statusBoard struct {
	mu     sync.Mutex
	status Status
	// hearsFake is true while the watch of a fake is open. Its silence is no loss of contact.
	hearsFake bool
}

func (b *statusBoard) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	status := b.status
	if b.hearsFake {
		status.LastContact = time.Now()
	}
	return status
}

// write changes the status. If the phase changes, it sets the time of the new one.
func (b *statusBoard) write(change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(change)
}

// change is write for a caller that holds b.mu.
func (b *statusBoard) change(change func(*Status)) {
	before := b.status.Phase
	change(&b.status)
	if b.status.Phase != before {
		b.status.Since = time.Now()
	}
}

// start begins the phase Starting. The counts begin again.
func (b *statusBoard) start(appID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = Status{Phase: Starting, Since: time.Now(), AppID: appID}
}

// stop begins the phase Stopped.
func (b *statusBoard) stop() {
	b.write(func(s *Status) { s.Phase = Stopped })
}

// fail notes an error of a request that is repeated.
func (b *statusBoard) fail(err error) {
	b.write(func(s *Status) { s.Err, s.ErrAt = err, time.Now() })
}

// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"sync"
	"time"
)

// A Phase says what a [WatchSnapshotSource] is doing.
type Phase uint8

const (
	Stopped  Phase = iota // before Start, after Stop, after a Start that failed
	Starting              // Start is waiting for the first complete view
	Watching              // the view is current
	Retrying              // the view may be out of date; Status.Err says why
)

var phaseNames = [...]string{"Stopped", "Starting", "Watching", "Retrying"}

// String returns the name of the constant.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// Status is what a [WatchSnapshotSource] knows about its own sight. The counts
// begin at Start.
type Status struct {
	Phase Phase
	Since time.Time // when the phase began; zero before the first Start
	AppID string    // of the last Start

	// Err is the last error, nil if there was none since Start. It stays when
	// the watch has recovered; Phase tells whether it has.
	Err   error
	ErrAt time.Time

	// LastContact is when the API server last said anything: an answer, an
	// event, a bookmark. The server sends a bookmark about once a minute.
	LastContact     time.Time
	ResourceVersion string // up to which the store has been told everything

	Lists   int // complete views fetched, the first included
	Relists int // of these, such as replaced a view that was lost
	Resumes int // watches opened where another had ended
	Stalls  int // watches given up because they went silent
	Errors  int // requests and watches that ended with an error
	Events  int // pod events received
}

// statusBoard is the Status that the watch goroutine writes and anybody reads.
type statusBoard struct {
	mu     sync.Mutex
	status Status
}

func (b *statusBoard) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// write changes the status, and stamps it when the phase has changed.
func (b *statusBoard) write(change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.status.Phase
	change(&b.status)
	if b.status.Phase != before {
		b.status.Since = time.Now()
	}
}

func (b *statusBoard) start(appID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = Status{Phase: Starting, Since: time.Now(), AppID: appID}
}

func (b *statusBoard) contact(resourceVersion string, events int) {
	b.write(func(s *Status) {
		s.LastContact = time.Now()
		s.ResourceVersion = resourceVersion
		s.Events += events
	})
}

func (b *statusBoard) failed(err error) {
	b.write(func(s *Status) {
		s.Err, s.ErrAt = err, time.Now()
		s.Errors++
	})
}

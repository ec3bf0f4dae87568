// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// A Phase says what a [WatchSnapshotSource] is doing.
type Phase uint8

const (
	Stopped  Phase = iota // before Start, after Stop, after a Start that failed
	Starting              // Start is waiting for the first complete view
	Watching              // the view is current
	Retrying              // the view may be out of date: refused, or without a watch for five seconds; Status.Err says why
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

	// LastContact is when the API server last showed anything: a list, a watch
	// that opened, an event, a bookmark. A refusal is no contact.
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
	mute   bool        // the last watch went silent, and nothing was heard since
	blind  *time.Timer // runs from the end of a watch to the next phase, nil otherwise
}

// blindness is how long no watch may be open before the view is taken for out of
// date: longer than an ordinary reconnection takes.
const blindness = 5 * time.Second

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
	b.mute = false
	b.status = Status{Phase: Starting, Since: time.Now(), AppID: appID}
}

// record derives the counts from what happened. A refusal is no contact: what
// counts is sight.
func (b *statusBoard) record(o Observation, started bool) {
	b.write(func(s *Status) {
		switch o.Kind {
		case Listed:
			s.Lists++
			if started {
				s.Relists++
			}
		case Opened:
			if o.Resumed {
				s.Resumes++
			}
		case Received:
			if o.Event != watch.Bookmark {
				s.Events++
			}
		case Closed, Refused:
			if errors.Is(o.Err, errStalled) {
				s.Stalls++
				b.mute = true
			}
			if o.Err != nil {
				s.Err, s.ErrAt = o.Err, time.Now()
				s.Errors++
			}
			return
		}
		s.ResourceVersion = o.ResourceVersion
		if b.mute && o.Kind == Opened {
			return // as the one before that went silent
		}
		b.mute = false
		s.LastContact = time.Now()
	})
}

// lost notes that a watch has ended, with err or in good order. The next may be
// a long time coming, also where its request is not refused, only not answered.
func (b *statusBoard) lost(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(blindness, func() {
		b.write(func(s *Status) {
			if b.blind != timer {
				return
			}
			s.Phase = Retrying
			if err == nil {
				s.Err, s.ErrAt = errBlind, time.Now()
			}
		})
	})
	b.blind = timer
}

// enter begins a phase, and returns the status before.
func (b *statusBoard) enter(phase Phase) (before Status) {
	b.write(func(s *Status) {
		before = *s
		s.Phase = phase
		if b.blind != nil {
			b.blind.Stop()
			b.blind = nil
		}
	})
	return before
}

// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/listwatch"
)

// A Phase says what a [WatchSnapshotSource] is doing.
type Phase uint8

const (
	Stopped  Phase = iota // before Start, after Stop, after a Start that failed
	Starting              // Start is waiting for the first complete view
	Watching              // the view is current
	Retrying              // the view may be out of date: a request was refused, or no watch was open for five seconds; see Status.Err
)

var phaseNames = [...]string{"Stopped", "Starting", "Watching", "Retrying"}

// String returns the name of the constant.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// Status describes the watch of a [WatchSnapshotSource]. The counts begin at Start.
type Status struct {
	Phase Phase
	Since time.Time // when the phase began; zero before the first Start
	AppID string    // of the last Start

	// Err is the last error since Start, or nil. It stays after the watch has
	// recovered. Phase shows whether the watch has recovered.
	Err   error
	ErrAt time.Time

	// LastContact is when the API server last answered with a list, an event or a
	// bookmark, or last opened a watch. A refusal does not count, and neither does the
	// opening of a watch right after a silent one.
	LastContact     time.Time
	ResourceVersion string // the store has received everything up to this version

	Lists   int // complete lists received, the first included
	Relists int // complete lists received after the first
	Resumes int // watches opened at the version where another watch ended
	Stalls  int // watches given up because they went silent
	Errors  int // requests and watches that ended with an error
	Events  int // pod events received
}

// statusBoard is the Status that the watch goroutine writes and any goroutine
// reads.
type statusBoard struct {
	mu           sync.Mutex
	status       Status
	noWatchTimer *time.Timer // runs from the end of a watch to the next phase, nil otherwise
}

// If no watch is open for retryingAfter, the phase becomes Retrying. An ordinary
// reconnection takes less time.
const retryingAfter = 5 * time.Second

// errNoWatch is the error of the phase Retrying if the last watch ended normally.
var errNoWatch = fmt.Errorf("the watch ended, and no other has opened for %v", retryingAfter)

func (b *statusBoard) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// write changes the status. If the phase changes, it sets the time of the new one.
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

// record updates the status after an event, and returns the status before.
func (b *statusBoard) record(e listwatch.Event) (before Status) {
	b.write(func(s *Status) {
		before = *s
		b.count(s, e)
		if e.Heard {
			s.LastContact = time.Now()
		}
		switch {
		case e.Kind == listwatch.Opened:
			b.enter(s, Watching)
		case e.Trouble:
			b.enter(s, Retrying)
		case e.Kind == listwatch.Closed:
			b.watchEnded(e.Err)
		}
	})
	return before
}

// count updates the counts, the version and the error.
func (b *statusBoard) count(s *Status, e listwatch.Event) {
	switch e.Kind {
	case listwatch.Listed:
		s.Lists++
		if e.Relist {
			s.Relists++
		}
	case listwatch.Opened:
		if e.Resumed {
			s.Resumes++
		}
	case listwatch.Received:
		if e.Type != watch.Bookmark {
			s.Events++
		}
	case listwatch.Closed, listwatch.Refused:
		if errors.Is(e.Err, listwatch.ErrStalled) {
			s.Stalls++
		}
		if e.Err != nil {
			s.Err, s.ErrAt = e.Err, time.Now()
			s.Errors++
		}
		return
	}
	s.ResourceVersion = e.ResourceVersion
}

// fail notes an error of a request that is repeated.
func (b *statusBoard) fail(err error) {
	b.write(func(s *Status) { s.Err, s.ErrAt = err, time.Now() })
}

// watchEnded starts the timer that makes the phase Retrying. Without the timer the phase
// would stay Watching while the server neither refuses nor answers the request for the
// next watch. The caller holds b.mu.
func (b *statusBoard) watchEnded(err error) {
	var timer *time.Timer
	timer = time.AfterFunc(retryingAfter, func() {
		b.write(func(s *Status) {
			if b.noWatchTimer != timer {
				return
			}
			s.Phase = Retrying
			if err == nil {
				s.Err, s.ErrAt = errNoWatch, time.Now()
			}
		})
	})
	b.noWatchTimer = timer
}

// enter begins a phase and stops the timer. The caller holds b.mu.
func (b *statusBoard) enter(s *Status, phase Phase) {
	s.Phase = phase
	if b.noWatchTimer != nil {
		b.noWatchTimer.Stop()
		b.noWatchTimer = nil
	}
}

// stop begins the phase Stopped.
func (b *statusBoard) stop() { b.write(func(s *Status) { b.enter(s, Stopped) }) }

// An Observation is one thing that happened between a [WatchSnapshotSource] and
// the API server. See [WithObserver]. A Closed follows each Opened, even if Stop ends
// the watch.
type Observation struct {
	Kind ObservationKind
	// ResourceVersion is the version that was listed, watched from or received. For
	// Closed it is the version to resume from, or empty if that version was lost.
	ResourceVersion string
	Pods            int             // Listed: the number of pods
	Relist          bool            // Listed: not the first list since Start
	Resumed         bool            // Opened: at the version where another watch ended, without a list
	Event           watch.EventType // Received: the type, BOOKMARK included
	Took            time.Duration   // Listed and Refused: the request; Closed: the age of the watch
	// Err is always set for Refused. For Closed it is nil if the watch ended
	// normally or Stop ended it. When client-go decodes the pods itself, a broken
	// connection also looks like a normal end.
	Err error
}

func observationOf(e listwatch.Event) Observation {
	return Observation{
		Kind: ObservationKind(e.Kind), ResourceVersion: e.ResourceVersion, Pods: e.Pods, Relist: e.Relist,
		Resumed: e.Resumed, Event: e.Type, Took: e.Took, Err: e.Err,
	}
}

// An ObservationKind says what happened.
type ObservationKind uint8

const (
	Listed   = ObservationKind(listwatch.Listed)   // a complete list arrived
	Opened   = ObservationKind(listwatch.Opened)   // a watch is open
	Received = ObservationKind(listwatch.Received) // an event or a bookmark arrived
	Closed   = ObservationKind(listwatch.Closed)   // a watch has ended, or the source gave it up
	Refused  = ObservationKind(listwatch.Refused)  // the server refused a list or a watch, or did not answer
)

// String returns the name of the constant.
func (k ObservationKind) String() string {
	if int(k) < len(observationNames) {
		return observationNames[k]
	}
	return fmt.Sprintf("ObservationKind(%d)", uint8(k))
}

var observationNames = [...]string{"Listed", "Opened", "Received", "Closed", "Refused"}

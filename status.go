// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
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

	// LastContact is when the API server last showed that it sees the pods: with a list, an
	// event, a bookmark that moves the version, or a check of its version. If the answer to a
	// check shows that its bookmarks do not move, or that it sends none, any bookmark and the
	// opening of a watch count too, for five and a half minutes after the check. A refusal does
	// not count, and neither does a verification. While the watch of a fake clientset is open it
	// is now.
	LastContact     time.Time
	ResourceVersion string // the store has received everything up to this version

	Lists   int // complete lists received, the first included
	Relists int // complete lists received after the first
	Resumes int // watches opened at the version where another watch ended
	Stalls  int // watches given up because they went silent
	Errors  int // requests and watches that ended with an error
	Events  int // pod events received
}

// prefixed returns the status with the prefix of its error.
func (s Status) prefixed() Status {
	if s.Err != nil {
		s.Err = fmt.Errorf("watchsource: %w", s.Err)
	}
	return s
}

// healthy returns nil if the API server was heard within maxSilence.
func (s Status) healthy(maxSilence time.Duration) error {
	if s.Phase == Stopped {
		return errors.New("watchsource: not started")
	}
	heard := s.LastContact
	if heard.IsZero() {
		heard = s.Since // of the start
	}
	silence := time.Since(heard)
	switch {
	case silence <= maxSilence:
		return nil
	case s.Err == nil:
		return fmt.Errorf("watchsource: nothing heard from the API server for %v", silence)
	default:
		return fmt.Errorf("watchsource: nothing heard from the API server for %v: %w", silence, s.Err)
	}
}

// statusBoard is the Status that the watch goroutine writes and any goroutine
// reads.
type statusBoard struct {
	mu     sync.Mutex
	status Status
	watch  *watchRecord // nil while no watch writes to the board, as for a source of a SharedWatch
}

// A watchRecord is what a statusBoard notes about its watch besides the Status. The mutex of
// the board guards it.
type watchRecord struct {
	logger       logr.Logger
	calling      *atomic.Int32 // the callee that the watch goroutine waits for
	unanswered   error         // of the request that Start waits for, nil for none
	opened       time.Time     // when the last watch opened
	noWatchTimer *time.Timer   // runs from the end of a watch to the next phase, nil otherwise
	watches      int           // that have ended
	blindTimer   *time.Timer   // runs since the API server was first heard, nil before
	blindAfter   time.Duration
	blind        bool       // logged, and the API server has not been heard since
	logging      sync.Mutex // held while the blindTimer logs, and may be locked while the board's mutex is held
	isFake       bool       // the open watch is that of a fake, so its silence is no loss of contact
}

// If no watch is open for retryingAfter, the phase becomes Retrying. An ordinary
// reconnection takes less time.
const retryingAfter = 5 * time.Second

// blindAfter is how long the API server may be silent until that is logged as an error. It is
// the time that Healthy recommends for a liveness probe.
const blindAfter = 3 * time.Minute

// blindMargin is how much longer than the stall timeout that is at least.
const blindMargin = 30 * time.Second

// errNoWatch is the error of the phase Retrying if the last watch ended normally.
var errNoWatch = fmt.Errorf("the watch ended, and no other has opened for %v", retryingAfter)

func (b *statusBoard) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	status := b.status
	if b.watch != nil && b.watch.isFake {
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

func (b *statusBoard) start(appID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = Status{Phase: Starting, Since: time.Now(), AppID: appID}
}

// begin makes the board that of a watch with the given options. The logger names the watch,
// and calling is the callee that the watch goroutine waits for.
func (b *statusBoard) begin(o *sourceOptions, logger logr.Logger, calling *atomic.Int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watch = &watchRecord{logger: logger, calling: calling, blindAfter: max(blindAfter, o.stallTimeout+blindMargin)}
}

// awaited returns the error of the request that a Start waits for, nil for none.
func (b *statusBoard) awaited() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watch == nil {
		return nil
	}
	return b.watch.unanswered
}

// record updates the status after an event, and logs the end of a trouble.
func (b *statusBoard) record(e listwatch.Event) {
	since, restored := b.update(e)
	if restored {
		b.watch.logger.Info("Watch restored", "after", time.Since(since).Round(time.Millisecond))
	}
}

// update updates the status after an event. It reports whether the event ends a trouble, and
// since when that lasted.
func (b *statusBoard) update(e listwatch.Event) (since time.Time, restored bool) {
	b.write(func(s *Status) {
		b.watch.unanswered = nil
		since, restored = s.Since, e.Kind == listwatch.Opened && s.Phase == Retrying && !b.watch.blind
		if e.Heard && b.watch.blind {
			since, restored = s.LastContact, true
		}
		b.count(s, e)
		if e.Heard || b.watch.isFake {
			s.LastContact = time.Now()
			b.heard()
		}
		switch {
		case e.Kind == listwatch.Unanswered:
			b.watch.unanswered = e.Err
		case e.Kind == listwatch.Opened:
			b.watch.isFake, b.watch.opened = e.Fake, time.Now()
			b.enter(s, Watching)
		case e.Trouble:
			b.enter(s, Retrying)
		case e.Kind == listwatch.Closed:
			b.watch.isFake = false
			b.watchEnded(e.Err)
		}
	})
	return since, restored
}

// heard starts the timer that logs blindness. Later contacts do not reset it, because there
// may be thousands of them a second: the timer sets itself again. The caller holds b.mu.
func (b *statusBoard) heard() {
	w := b.watch
	switch {
	case w.blindTimer == nil:
		w.blindTimer = time.AfterFunc(w.blindAfter, func() { b.logBlindness(w) })
	case w.blind:
		w.blind = false
		w.blindTimer.Reset(w.blindAfter)
	}
}

// logBlindness logs that the API server has been silent, or sets the timer again. The timer
// calls it in another goroutine, because the watch goroutine waits for the server.
func (b *statusBoard) logBlindness(w *watchRecord) {
	b.mu.Lock()
	if w.isFake {
		b.status.LastContact = time.Now()
	}
	silence := time.Since(b.status.LastContact)
	if b.watch != w || silence < w.blindAfter {
		if b.watch == w {
			w.blindTimer.Reset(w.blindAfter - silence)
		}
		b.mu.Unlock()
		return
	}
	w.blind = true
	err, lastContact := b.status.Err, b.status.LastContact
	if b.status.ErrAt.Before(lastContact) || !b.status.ErrAt.After(w.opened) {
		err = nil // of an earlier trouble
	}
	w.logging.Lock()
	defer w.logging.Unlock()
	b.mu.Unlock()
	w.logger.Error(err, "Nothing heard from the API server",
		"for", silence.Round(time.Second), "lastContact", lastContact, "waitingFor", calleeNames[w.calling.Load()])
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
	case listwatch.Unanswered, listwatch.Checked:
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
	w := b.watch
	w.watches++
	ended := w.watches
	w.noWatchTimer = time.AfterFunc(retryingAfter, func() { b.noWatch(w, ended, err) })
}

// noWatch begins the phase Retrying and logs it, unless another watch has opened since the
// one that ended. err is why that one ended, nil if it ended normally.
func (b *statusBoard) noWatch(w *watchRecord, ended int, err error) {
	b.mu.Lock()
	if b.watch != w || w.noWatchTimer == nil || w.watches != ended {
		b.mu.Unlock()
		return
	}
	b.change(func(s *Status) {
		s.Phase = Retrying
		if err == nil {
			err = errNoWatch
			s.Err, s.ErrAt = err, time.Now()
		}
	})
	w.logging.Lock()
	defer w.logging.Unlock()
	b.mu.Unlock()
	w.logger.Info("Watch interrupted, retrying", "err", err)
}

// enter begins a phase and stops the timer. The caller holds b.mu.
func (b *statusBoard) enter(s *Status, phase Phase) {
	s.Phase = phase
	if b.watch != nil && b.watch.noWatchTimer != nil {
		b.watch.noWatchTimer.Stop()
		b.watch.noWatchTimer = nil
	}
}

// stop begins the phase Stopped. When it has returned nothing is logged any more.
func (b *statusBoard) stop() {
	var ended *watchRecord
	b.write(func(s *Status) {
		b.enter(s, Stopped)
		ended, b.watch = b.watch, nil
		if ended != nil && ended.blindTimer != nil {
			ended.blindTimer.Stop()
		}
	})
	if ended != nil {
		ended.logging.Lock()
		defer ended.logging.Unlock()
	}
}

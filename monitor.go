// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/usercode"
)

const (
	// If no watch is open for retryingAfter, the phase becomes Retrying. An ordinary
	// reconnection takes less time.
	retryingAfter = 5 * time.Second

	// blindAfter is how long the API server may be silent until that is logged as an error. It
	// is the time that Healthy recommends for a liveness probe.
	blindAfter = 3 * time.Minute

	// blindMargin is how much longer than the stall timeout that is at least.
	blindMargin = 30 * time.Second
)

// errNoWatch is the error of the phase Retrying if the last watch ended normally.
var errNoWatch = fmt.Errorf("the watch ended, and no other has opened for %v", retryingAfter)

// A monitor receives what a loop reports. It writes the status, calls the observer, and logs
// the beginning and the end of a trouble.
type monitor struct {
	// Fixed before the loop runs.
	board      *statusBoard
	logger     logr.Logger
	blindAfter time.Duration
	// observer may be nil.
	observer func(listwatch.Event)
	// userCode says what the watch goroutine is calling.
	userCode *usercode.Mark

	// Guarded by the mutex of the board.
	stopped bool
	// unanswered is the error of the request that Start waits for, nil for none.
	unanswered error
	// watchOpened is when the last watch opened.
	watchOpened time.Time
	// endedWatches is the number of watches that have ended.
	endedWatches int
	// noWatchTimer runs from the end of a watch to the next phase, and is nil otherwise.
	noWatchTimer *time.Timer
	// blindTimer runs since the API server was first heard, and is nil before.
	blindTimer *time.Timer
	// blind is true once a silence was logged, until the API server is heard again.
	blind bool
	// hearsFake is true while the watch of a fake is open. Its silence is no loss of contact.
	hearsFake bool
	// decoderLogged is true once the log says that client-go decodes the pods.
	decoderLogged bool

	// logging holds a token while a timer or a request logs. No goroutine takes it while the board is locked. A
	// mutex would stop the clock of a synctest bubble.
	logging chan struct{}
}

// newMonitor returns the monitor of a loop with a stall timeout, 0 for the default. The logger names
// the watch. userCode marks what the watch goroutine is calling.
func newMonitor(
	board *statusBoard, observer func(listwatch.Event), stallTimeout time.Duration, logger logr.Logger, userCode *usercode.Mark,
) *monitor {
	return &monitor{
		board: board, observer: observer, userCode: userCode, logger: logger,
		blindAfter: max(blindAfter, stallTimeout+blindMargin), logging: make(chan struct{}, 1),
	}
}

// status returns the status of the watch.
func (m *monitor) status() Status {
	m.board.mu.Lock()
	defer m.board.mu.Unlock()
	status := m.board.status
	if m.hearsFake {
		status.LastContact = time.Now()
	}
	return status
}

// report receives an event of the loop.
func (m *monitor) report(e listwatch.Event) {
	if e.Kind == listwatch.Decoding {
		m.decodes(e)
		return
	}
	if since, restored := m.record(e); restored {
		m.logger.Info("Watch restored", "after", time.Since(since).Round(time.Millisecond))
	}
	if m.observer != nil && e.Kind < listwatch.Unanswered {
		m.userCode.Enter(usercode.Observer)
		m.observer(e)
		m.userCode.Leave()
	}
}

// decodes notes what decodes the pods. It logs once that client-go does. Any goroutine may call it,
// also that of a request that was given up, after stop.
func (m *monitor) decodes(e listwatch.Event) {
	m.board.mu.Lock()
	if m.stopped {
		m.board.mu.Unlock()
		return
	}
	m.board.status.Decoder = e.Decoder.String()
	slow := e.Decoder.Reason != "" && !m.decoderLogged
	m.decoderLogged = m.decoderLogged || slow
	m.board.mu.Unlock()
	if slow {
		m.log(func() {
			m.logger.Info("Pods are decoded by client-go, at several times the cost", "reason", e.Decoder.Reason, "remedy", e.Decoder.Remedy)
		})
	}
}

// awaited returns the error of the request that a Start waits for, nil for none.
func (m *monitor) awaited() error {
	m.board.mu.Lock()
	defer m.board.mu.Unlock()
	return m.unanswered
}

// record updates the status after an event. It reports whether the event ends a trouble, and
// since when that lasted.
func (m *monitor) record(e listwatch.Event) (since time.Time, restored bool) {
	m.board.write(func(s *Status) {
		m.unanswered = nil
		since, restored = s.Since, e.Kind == listwatch.Opened && s.Phase == Retrying && !m.blind
		if e.Heard && m.blind {
			since, restored = s.LastContact, true
		}
		count(s, e)
		if e.Heard || m.hearsFake {
			s.LastContact = time.Now()
			m.heard()
		}
		switch {
		case e.Kind == listwatch.Unanswered:
			m.unanswered = e.Err
		case e.Kind == listwatch.Opened:
			m.hearsFake, m.watchOpened = e.Fake, time.Now()
			m.enter(s, Watching)
		case e.Trouble:
			m.enter(s, Retrying)
		case e.Kind == listwatch.Closed:
			m.hearsFake = false
			m.watchEnded(e.Err)
		}
	})
	return since, restored
}

// count updates the counts, the version and the error.
func count(s *Status, e listwatch.Event) {
	switch e.Kind {
	case listwatch.Listed:
		s.Lists++
		if e.Relist {
			s.Relists++
		}
		if e.Verifies {
			s.LastVerification = time.Now()
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
		if errors.Is(e.Err, failure.ErrStalled) {
			s.Stalls++
		}
		if e.Err != nil {
			s.Err, s.ErrAt = e.Err, time.Now()
			s.Errors++
		}
		return
	case listwatch.Verified:
		s.LastVerification = time.Now()
		return
	case listwatch.Unanswered, listwatch.Checked:
		return
	}
	s.ResourceVersion = e.ResourceVersion
}

// enter begins a phase and stops the timer. The board is locked.
func (m *monitor) enter(s *Status, phase Phase) {
	s.Phase = phase
	if m.noWatchTimer != nil {
		m.noWatchTimer.Stop()
		m.noWatchTimer = nil
	}
}

// heard starts the timer that logs blindness. Later contacts do not reset it, because there
// may be thousands of them a second: the timer sets itself again. The board is locked.
func (m *monitor) heard() {
	switch {
	case m.blindTimer == nil:
		m.blindTimer = time.AfterFunc(m.blindAfter, m.logBlindness)
	case m.blind:
		m.blind = false
		m.blindTimer.Reset(m.blindAfter)
	}
}

// logBlindness logs that the API server has been silent, or sets the timer again. The timer
// calls it in another goroutine, because the watch goroutine waits for the server.
func (m *monitor) logBlindness() {
	b := m.board
	b.mu.Lock()
	if m.hearsFake {
		b.status.LastContact = time.Now()
	}
	silence := time.Since(b.status.LastContact)
	if m.stopped || silence < m.blindAfter {
		if !m.stopped {
			m.blindTimer.Reset(m.blindAfter - silence)
		}
		b.mu.Unlock()
		return
	}
	m.blind = true
	err, lastContact := b.status.Err, b.status.LastContact
	if b.status.ErrAt.Before(lastContact) || !b.status.ErrAt.After(m.watchOpened) {
		err = nil // of an earlier trouble
	}
	b.mu.Unlock()
	m.log(func() {
		m.logger.Error(err, "Nothing heard from the API server",
			"for", silence.Round(time.Second), "lastContact", lastContact, "waitingFor", m.userCode.Now().String())
	})
}

// watchEnded starts the timer that makes the phase Retrying. Without the timer the phase
// would stay Watching while the server neither refuses nor answers the request for the
// next watch. The board is locked.
func (m *monitor) watchEnded(err error) {
	m.endedWatches++
	ended := m.endedWatches
	m.noWatchTimer = time.AfterFunc(retryingAfter, func() { m.noWatch(ended, err) })
}

// noWatch begins the phase Retrying and logs it, unless another watch has opened since the last
// one ended. err is nil if that watch ended normally.
func (m *monitor) noWatch(ended int, err error) {
	b := m.board
	b.mu.Lock()
	if m.stopped || m.noWatchTimer == nil || m.endedWatches != ended {
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
	b.mu.Unlock()
	m.log(func() { m.logger.Info("Watch interrupted, retrying", "err", err) })
}

// stop stops the timers. When it has returned neither they nor requests log anything any more.
func (m *monitor) stop() {
	m.board.mu.Lock()
	m.stopped, m.hearsFake = true, false
	for _, timer := range []*time.Timer{m.noWatchTimer, m.blindTimer} {
		if timer != nil {
			timer.Stop()
		}
	}
	m.board.mu.Unlock()
	m.logging <- struct{}{}
	<-m.logging
}

// log writes a line of a timer or a request, unless the monitor was stopped. The board is not locked, because
// the logger may ask for the Status.
func (m *monitor) log(write func()) {
	m.logging <- struct{}{}
	defer func() { <-m.logging }()
	m.board.mu.Lock()
	stopped := m.stopped
	m.board.mu.Unlock()
	if !stopped {
		write()
	}
}

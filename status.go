// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
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
	// Since is when the phase began. It is zero before the first Start.
	Since time.Time
	// AppID is the application id of the last Start.
	AppID string

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

	// LastVerification is when the pods were last verified, with [WithVerification]: when a
	// verification ended that has compared all of them and found no difference, or when a complete list
	// arrived, which is as good. A verification that was interrupted or refused does not count. One that
	// has found a lost event counts when the list arrives that repairs the view. It is zero without
	// WithVerification. With [WithNamespaces] it is that of the namespace that was verified least recently.
	LastVerification time.Time

	// Decoder names what decodes the pods: "protobuf" is the decoder of this library. With
	// "client-go: " and a reason, client-go decodes them, at several times the cost: the client asks
	// for JSON or is wrapped, or the API server answers in JSON. "fake" is a fake clientset, whose
	// pods need no decoding. Each answer may change it. It is empty before the first Start.
	Decoder string

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

// healthy returns nil if the API server was heard within maxSilence. The error names the watch with
// the words about, "" if there is one watch.
func (s Status) healthy(maxSilence time.Duration, about string) error {
	if s.Phase == Stopped {
		return errors.New("watchsource: not started")
	}
	heard := s.LastContact
	if heard.IsZero() {
		heard = s.Since // of the start
	}
	silence := time.Since(heard)
	if silence <= maxSilence {
		return nil
	}
	text := fmt.Sprintf("watchsource: nothing heard from the API server%s for %v", about, silence.Round(100*time.Millisecond))
	if s.Err == nil {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %w", text, s.Err)
}

// together returns the status of several watches together. It is Watching if all are, and Retrying if
// one is. It has the error of the watch that has been retrying for the longest time, or else the
// last error. The times since a phase and of the last contact are those that hold for all.
func together(all []Status) Status {
	s := all[0]
	for _, other := range all[1:] {
		s.add(other)
	}
	return s
}

// add adds the status of another watch.
func (s *Status) add(other Status) {
	retrying, otherRetrying := s.Phase == Retrying, other.Phase == Retrying
	switch {
	case retrying && otherRetrying:
		if other.Since.Before(s.Since) {
			s.Since, s.Err, s.ErrAt = other.Since, other.Err, other.ErrAt
		}
	case otherRetrying, !retrying && other.ErrAt.After(s.ErrAt):
		s.Err, s.ErrAt = other.Err, other.ErrAt
	}
	switch {
	case otherRetrying && !retrying:
		s.Phase, s.Since = Retrying, other.Since
	case !retrying && other.Since.After(s.Since):
		s.Since = other.Since
	}
	if other.LastContact.Before(s.LastContact) {
		s.LastContact = other.LastContact
	}
	if other.LastVerification.Before(s.LastVerification) {
		s.LastVerification = other.LastVerification
	}
	s.Lists += other.Lists
	s.Relists += other.Relists
	s.Resumes += other.Resumes
	s.Stalls += other.Stalls
	s.Errors += other.Errors
	s.Events += other.Events
}

// statusCounts are the counts of a Status.
type statusCounts struct{ lists, relists, resumes, stalls, errors, events int }

// subtract makes the counts begin at a later time.
func (s *Status) subtract(c statusCounts) {
	s.Lists -= c.lists
	s.Relists -= c.relists
	s.Resumes -= c.resumes
	s.Stalls -= c.stalls
	s.Errors -= c.errors
	s.Events -= c.events
}

// A statusBoard has the Status of a source or of a connection. Any goroutine may read and
// write it.
type statusBoard struct {
	mu     sync.Mutex
	status Status
}

func (b *statusBoard) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

func (b *statusBoard) counts() statusCounts {
	s := b.read()
	return statusCounts{s.Lists, s.Relists, s.Resumes, s.Stalls, s.Errors, s.Events}
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

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// The commands of stories that answer. Each waits until the source has done all that it can do
// without more time.

// view answers with the executors of the snapshot and their states.
func (s *stage) view(*arguments) ([]string, error) {
	synctest.Wait()
	var lines []string
	for e := range s.store.Snapshot().All() {
		lines = append(lines, fmt.Sprintf("%s %v", e.Name, e.State))
	}
	return orNothing(lines), nil
}

// batches answers with the changes that a reader of Batches receives. It answers with all
// executors the first time, and then with the changes since the last "batches".
func (s *stage) batches(*arguments) ([]string, error) {
	synctest.Wait()
	var lines []string
	if s.reader == nil {
		next, stop := iter.Pull(s.store.Batches(s.t.Context(), 0))
		s.t.Cleanup(stop)
		s.reader = next
		lines = s.nextBatch()
	}
	for s.reader != nil && (len(s.store.Backlogs()) > 0 || s.stopped()) {
		lines = append(lines, s.nextBatch()...)
	}
	return orNothing(lines), nil
}

func (s *stage) stopped() bool {
	return s.source != nil && s.source.Status().Phase == watchsource.Stopped
}

// nextBatch returns the lines of a batch in the order of the executors, because the order of two
// events and of the list that contains both may differ.
func (s *stage) nextBatch() []string {
	batch, ok := s.reader()
	if !ok {
		s.reader = nil
		return []string{"the batches have ended"}
	}
	slices.SortStableFunc(batch.Changes, func(a, b watchsource.Change) int { return strings.Compare(a.After.Name, b.After.Name) })
	var lines []string
	for _, c := range batch.Changes {
		line := fmt.Sprintf("%s new %v", c.After.Name, c.After.State)
		if c.Before != nil {
			line = fmt.Sprintf("%s %v -> %v", c.After.Name, c.Before.State, c.After.State)
		}
		if c.Ended {
			line += ", ended"
		}
		lines = append(lines, line)
	}
	return lines
}

// requests answers with the requests since the last "requests" or "mark". With "times" each has the time
// since the one above it.
func (s *stage) requests(args *arguments) ([]string, error) {
	synctest.Wait()
	times := args.flag("times")
	all := s.server.Requests()
	var lines []string
	for i := s.shownRequests; i < len(all); i++ {
		line := requestLine(all[i])
		if times && i > s.shownRequests {
			line = fmt.Sprintf("+%v %s", all[i].Time.Sub(all[i-1].Time).Round(time.Millisecond), line)
		}
		lines = append(lines, line)
	}
	s.shownRequests = len(all)
	return orNothing(lines), nil
}

// requestLine names a request. A check is the list of one name by which the source asks for the
// version of the server.
func requestLine(r watchtest.Request) string {
	switch {
	case isCheck(r):
		return "check of the version"
	case r.Verb == watchtest.Watch:
		return "watch from " + r.Options.ResourceVersion
	default:
		return r.Verb.String()
	}
}

func isCheck(r watchtest.Request) bool {
	return r.Verb == watchtest.List && r.Options.FieldSelector != ""
}

// observations answers with what an observer has received since the last "observed", except
// events.
func (s *stage) observations(*arguments) ([]string, error) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.observed
	s.observed = nil
	return orNothing(lines), nil
}

func (s *stage) status(*arguments) ([]string, error) {
	if s.source == nil {
		return nil, errNotStarted
	}
	synctest.Wait()
	got := s.source.Status()
	return []string{fmt.Sprintf("%v lists=%d relists=%d resumes=%d stalls=%d errors=%d",
		got.Phase, got.Lists, got.Relists, got.Resumes, got.Stalls, got.Errors)}, nil
}

func (s *stage) healthy(args *arguments) ([]string, error) {
	if s.source == nil {
		return nil, errNotStarted
	}
	maxAge := args.time("duration")
	if args.err != nil {
		return nil, args.err
	}
	synctest.Wait()
	if err := s.source.Healthy(maxAge); err != nil {
		return []string{"no: " + err.Error()}, nil
	}
	return []string{"yes"}, nil
}

// logged answers with the messages since the last "log", without their values.
func (s *stage) logged(*arguments) ([]string, error) {
	synctest.Wait()
	all := s.log.matching()
	var lines []string
	for _, line := range all[s.shownLog:] {
		lines = append(lines, messageOf(line))
	}
	s.shownLog = len(all)
	return orNothing(lines), nil
}

// orNothing makes an empty answer visible.
func orNothing(lines []string) []string {
	if len(lines) == 0 {
		return []string{"nothing"}
	}
	return lines
}

// counts has the numbers that "want" can compare. Those of requests begin at the last "mark".
func (s *stage) counts() map[string]int {
	status := watchsource.Status{}
	if s.source != nil {
		status = s.source.Status()
	}
	counts := map[string]int{
		"executors": s.store.Snapshot().Len(), "log-lines": len(s.log.matching()), "open-streams": len(s.server.Streams()),
		"lists": status.Lists, "relists": status.Relists, "resumes": status.Resumes, "stalls": status.Stalls,
		"errors": status.Errors, "events": status.Events,
		"requests": 0, "watches": 0, "list-requests": 0, "checks": 0,
	}
	for _, r := range s.server.Requests()[s.marked:] {
		counts["requests"]++
		switch {
		case isCheck(r):
			counts["checks"]++
		case r.Verb&allLists != 0:
			counts["list-requests"]++
		case r.Verb == watchtest.Watch:
			counts["watches"]++
		}
	}
	return counts
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// losses are changes whose events are lost, and what the source then says.
var losses = []struct {
	name string
	// events is the number of events that are lost.
	events int
	change func(*watchtest.Server)
	err    string
}{
	{
		name: "deleted", events: 1, err: "the watch has lost an event: pod jobs/exec-1 is gone",
		change: func(s *watchtest.Server) { s.Delete("jobs", "exec-1") },
	},
	{
		name: "added", events: 1, err: "the watch has lost an event: pod jobs/exec-4 has appeared",
		change: func(s *watchtest.Server) { s.Create(pod("4")) },
	},
	{
		name: "modified", events: 1, err: "the watch has lost an event: pod jobs/exec-1 has changed",
		change: func(s *watchtest.Server) { s.Update("jobs", "exec-1", phase(corev1.PodFailed)) },
	},
	{
		name: "has left the selection", events: 1, err: "the watch has lost an event: pod jobs/exec-2 is gone",
		change: func(s *watchtest.Server) { s.Update("jobs", "exec-2", label(watchsource.LabelRole, "other")) },
	},
	{
		name: "has entered the selection", events: 1, err: "the watch has lost an event: pod jobs/exec-foreign has appeared",
		change: func(s *watchtest.Server) {
			s.Update("jobs", "exec-foreign", label(watchsource.LabelRole, watchsource.RoleExecutor))
		},
	},
	{
		name: "replaced under its name", events: 2, err: "the watch has lost events of 2 pods, the first: pod jobs/exec-1 ",
		change: func(s *watchtest.Server) { s.Delete("jobs", "exec-1"); s.Create(pod("1", uid("new"))) },
	},
	{
		name: "several", events: 3, err: "the watch has lost events of 3 pods, the first: pod jobs/exec-1 has changed",
		change: func(s *watchtest.Server) {
			s.Delete("jobs", "exec-2")
			s.Create(pod("4"))
			s.Update("jobs", "exec-1", phase(corev1.PodFailed))
		},
	},
}

// podsBeforeLosses creates the pods of losses.
func podsBeforeLosses(server *watchtest.Server) {
	for _, id := range []string{"1", "2", "3"} {
		server.Create(pod(id, phase(corev1.PodRunning)))
	}
	server.Create(pod("foreign", label(watchsource.LabelRole, "other")))
}

// lose makes a change whose events are lost. The event after them is not lost. Without it a
// watch that ends would be resumed from a version before the loss.
func lose(server *watchtest.Server, events int, change func(*watchtest.Server)) {
	server.Strike(watchtest.Lose(events))
	change(server)
	server.Update("jobs", "exec-3", touch)
}

func deleteFirst(server *watchtest.Server) { server.Delete("jobs", "exec-1") }

// G1: an event that the server has lost (kubernetes issue 123072) is noticed and repaired with
// WithVerification, and stays lost without it.
func TestGuarantee1LostEvents(t *testing.T) {
	for _, loss := range losses {
		eachCaseInBubble(t, loss.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			log, seen := new(logLines), new(observations)
			podsBeforeLosses(env.server)
			env.start(watchsource.WithVerification(verifyEvery),
				watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(seen.observe))
			readers := []*readerCounts{countChanges(t, env.store), countChanges(t, env.store)}
			time.Sleep(time.Hour)
			before := env.source.Status()
			wantLines(t, log, 0, "msg")

			lose(env.server, loss.events, loss.change)
			time.Sleep(noticed)
			env.wantEqualToList()
			wantLines(t, log, 1, lostLine, loss.err)
			status := env.source.Status()
			if status.Err == nil || !strings.HasPrefix(status.Err.Error(), "watchsource: "+loss.err) {
				t.Errorf("Status.Err = %v, want %q", status.Err, loss.err)
			}
			if status.Relists != before.Relists+1 || status.Errors != before.Errors+1 || status.Stalls != 0 || status.Phase != watchsource.Watching {
				t.Errorf("%+v, want one relist and one error more than %+v, and the phase Watching", status, before)
			}
			if err := env.source.Healthy(3 * time.Minute); err != nil {
				t.Errorf("Healthy = %v, want nil", err)
			}
			if closed := seen.errors(watchsource.Closed); len(closed) != 1 || !strings.HasPrefix(closed[0], loss.err) {
				t.Errorf("the observer saw the errors %q, want one with %q", closed, loss.err)
			}

			time.Sleep(time.Hour)
			wantLines(t, log, 1, "msg")
			if again := env.source.Status(); again.Relists != status.Relists || again.Errors != status.Errors {
				t.Errorf("%d relists and %d errors an hour later, want %d and %d", again.Relists, again.Errors, status.Relists, status.Errors)
			}
			wantOneEach(t, env.store, readers, strings.Contains(loss.err, "exec-1 is gone"))
		})

	}
}

// wantOneEach fails unless each reader has received the end of exec-1 once if it has failed, and its
// disappearance once if it is gone.
func wantOneEach(t *testing.T, store *watchsource.Store, readers []*readerCounts, isGone bool) {
	t.Helper()
	failed, gone := 0, 0
	if e, ok := store.Snapshot().Get("exec-1"); ok && e.State == watchsource.Failed {
		failed = 1
	}
	if isGone {
		gone = 1
	}
	for _, reader := range readers {
		ended, deleted := reader.ended["exec-1"], reader.deleted["exec-1"]
		if ended != failed || gone > 0 && deleted != gone {
			t.Errorf("a reader saw %d ends and %d disappearances of exec-1, want %d and %d", ended, deleted, failed, gone)
		}
	}
}

// Without verification such an event stays lost, so TestGuarantee1LostEvents loses it.
func TestLostEventsWithoutVerification(t *testing.T) {
	for _, loss := range losses {
		eachCaseInBubble(t, loss.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			podsBeforeLosses(env.server)
			env.start()
			time.Sleep(time.Hour)
			before := names(env.store.Snapshot())
			lose(env.server, loss.events, loss.change)
			time.Sleep(24 * time.Hour)
			if after := names(env.store.Snapshot()); after != before || env.source.Healthy(3*time.Minute) != nil {
				t.Errorf("the store has %s, Healthy = %v; want %s and nil: then the test does not lose the event", after,
					env.source.Healthy(3*time.Minute), before)
			}
		})
	}
}

// A verification also notices an event that was lost just before it and after which nothing has
// come.
func TestVerificationOfTheLastEvent(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		podsBeforeLosses(env.server)
		env.start(watchsource.WithVerification(130 * time.Second))
		time.Sleep(129 * time.Second)
		env.server.Strike(watchtest.Lose(1))
		env.delete("1")
		time.Sleep(71 * time.Second)
		env.wantEqualToList()
		if n := len(verifications(env.server)); n != 1 || env.source.Status().Relists != 1 {
			t.Errorf("%d verifications and %d relists, want one and one", n, env.source.Status().Relists)
		}
	})
}

// G5: a watch that a list shows to be silent is resumed, not replaced by a list.
func TestVerificationOfASilentWatch(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		log := new(logLines)
		podsBeforeLosses(env.server)
		env.start(watchsource.WithVerification(2*time.Minute),
			watchsource.WithStallTimeout(time.Hour), watchsource.WithLogger(log.logger(0)))
		env.server.Strike(watchtest.Silence())
		env.delete("1")
		time.Sleep(2*time.Minute + 141*time.Second) // less than the shortest watch
		env.wantEqualToList()
		status := env.source.Status()
		if status.Lists != 1 || status.Stalls != 1 || status.Err == nil ||
			!strings.Contains(status.Err.Error(), "the watch went silent: after 1m10s it lacks what a list shows: pod jobs/exec-1 is gone") {
			t.Errorf("%+v, want a stall that names exec-1, and one list", status)
		}
		wantLines(t, log, 0, lostLine)
	})
}

// An event that each watch loses, of a server without bookmarks, costs a list after the second
// verification.
func TestVerificationOfAnEventThatEachWatchLoses(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		log := new(logLines)
		podsBeforeLosses(env.server)
		env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()})
		env.start(watchsource.WithVerification(verifyEvery), watchsource.WithLogger(log.logger(0)))
		time.Sleep(time.Hour)
		env.server.Strike(watchtest.Lose(1))
		env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Lose(1)})
		env.delete("1")
		time.Sleep(2*noticed + 2*71*time.Second)
		env.wantEqualToList()
		wantLines(t, log, 1, lostLine, "exec-1 is gone")
	})
}

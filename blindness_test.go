// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

const (
	blindLine    = `"msg"="Nothing heard from the API server"`
	restoredLine = `"msg"="Watch restored"`
)

// wantLines fails unless the log has n lines with all the parts.
func wantLines(t *testing.T, log *logLines, n int, parts ...string) {
	t.Helper()
	synctest.Wait()
	if lines := log.matching(parts...); len(lines) != n {
		t.Errorf("%d lines with %q, want %d: %q", len(lines), parts, n, lines)
	}
}

// If the API server is silent for longer than a liveness probe allows, that is logged as an
// error, once, with the application or the selector and how long.
func TestBlindnessIsLogged(t *testing.T) {
	for _, test := range []struct {
		name      string
		newSource modeltest.NewSource
		whose     string
	}{
		{name: "own watch", newSource: watchsource.NewWatchSnapshotSource, whose: `"appID"="app"`},
		{name: "shared watch", newSource: modeltest.Shared, whose: `"selector"="spark-app-selector,spark-role=executor"`},
	} {
		for fault, effect := range map[string]struct {
			do  watchtest.Effect
			err string
		}{
			"refused":     {do: watchtest.Refuse(), err: "connection refused"},
			"no answer":   {do: watchtest.Hang(), err: "no answer"},
			"no new data": {do: watchtest.Silence(), err: "ask for the version in namespace"},
		} {
			inBubble(t, test.name+"/"+fault, func(t *testing.T) {
				server := watchtest.NewServer()
				log := new(logLines)
				source := test.newSource(watchsource.NewStore(), server.Client(), watchsource.WithLogger(log.logger(0)))
				start(t, source, "app")
				defer source.Stop()
				time.Sleep(time.Hour)
				wantLines(t, log, 0, "msg")

				for outage := range 2 {
					for time.Since(source.Status().LastContact) > time.Minute {
						time.Sleep(time.Second) // the watch has just been resumed, and has sent no bookmark yet
					}
					lift := server.Inject(watchtest.Fault{Do: effect.do})
					server.Strike(watchtest.Reset())
					time.Sleep(119 * time.Second) // at most a minute after the last bookmark
					wantLines(t, log, outage, blindLine)
					time.Sleep(time.Hour)
					wantLines(t, log, outage+1, blindLine, `"error"=`, effect.err, test.whose, `"for"="3m0s"`, `"lastContact"=`,
						`"waitingFor"="the client"`)
					wantLines(t, log, outage, restoredLine)
					lift()
					time.Sleep(10 * time.Minute)
					wantLines(t, log, outage+1, restoredLine, test.whose, `"after"="1h`)
					if err := source.Healthy(3 * time.Minute); err != nil {
						t.Errorf("Healthy = %v after the outage, want nil", err)
					}
				}
				wantLines(t, log, 0, "/api/v1")
			})
		}
	}
}

// A shared watch logs its blindness once, not once for each application.
func TestBlindnessOfASharedWatchIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		log := new(logLines)
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithLogger(log.logger(0)))
		for i := range 20 {
			startShared(t, shared, fmt.Sprint("app-", i))
		}
		server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(time.Hour)
		wantLines(t, log, 1, blindLine)
	})
}

// The limit follows the stall timeout, as the maxSilence that Healthy recommends does.
func TestBlindnessWithALongStallTimeout(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		log := new(logLines)
		source := newSource(watchsource.NewStore(), server.Client(), watchsource.WithLogger(log.logger(0)),
			watchsource.WithStallTimeout(10*time.Minute))
		start(t, source, "app")
		defer source.Stop()
		server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(10*time.Minute + 29*time.Second)
		wantLines(t, log, 0, blindLine)
		time.Sleep(2 * time.Second)
		wantLines(t, log, 1, blindLine, `"for"="10m30s"`)
	})
}

// If the watch goroutine waits for an observer, the line names that instead of an old error.
func TestBlindnessBehindAnObserver(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		log := new(logLines)
		release := make(chan struct{})
		var block atomic.Bool
		source := newSource(watchsource.NewStore(), server.Client(), watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(func(watchsource.Observation) {
			if block.Load() {
				<-release
			}
		}))
		start(t, source, "app")
		defer source.Stop()
		server.Strike(watchtest.Reset()) // an old error
		time.Sleep(61 * time.Second)     // for a bookmark
		if source.Status().Err == nil {
			t.Fatal("Status has no error after a reset, want one")
		}
		block.Store(true)
		time.Sleep(time.Hour)
		wantLines(t, log, 1, blindLine, `"error"=null`, `"waitingFor"="a call of the observer"`)
		block.Store(false)
		close(release)
		time.Sleep(time.Minute)
		wantLines(t, log, 1, restoredLine)
	})
}

// A source that is stopped during an outage logs nothing after Stop, and no timer is left.
func TestNothingIsLoggedAfterStop(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		log := new(logLines)
		source := newSource(watchsource.NewStore(), server.Client(), watchsource.WithLogger(log.logger(0)))
		start(t, source, "app")
		server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(2 * time.Minute)
		source.Stop()
		lines := len(log.matching())
		time.Sleep(time.Hour)
		wantLines(t, log, lines)
		wantLines(t, log, 0, blindLine)
	})
}

// A Stop that waits is logged as an error with its application.
func TestStopThatWaitsIsLogged(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		log := new(logLines)
		store := &recordingStore{}
		source := newSource(store, server.Client(), watchsource.WithLogger(log.logger(0)))
		start(t, source, "app")
		store.mu.Lock()
		store.block = make(chan struct{})
		store.mu.Unlock()
		server.Create(pod("1"))
		synctest.Wait()
		time.AfterFunc(time.Minute, func() { close(store.block) })
		source.Stop()
		wantLines(t, log, 1, "Stop is still waiting", `"error"=`, `"appID"="app"`, `"waitingFor"="a call of the store"`, `"for"="5s"`)
	})
}

// wantSharedStopped returns the Status of a SharedWatch without started sources.
func wantSharedStopped(t *testing.T, shared *watchsource.SharedWatch) watchsource.Status {
	t.Helper()
	got := shared.Status()
	if got.Phase != watchsource.Stopped {
		t.Errorf("phase %v, want Stopped", got.Phase)
	}
	if err := shared.Healthy(time.Hour); err == nil || err.Error() != "watchsource: not started" {
		t.Errorf("Healthy = %v, want \"watchsource: not started\"", err)
	}
	return got
}

// The status of a shared watch is that of its connection.
func TestSharedWatchStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podOf("one", "1"))
		shared := watchsource.NewSharedWatch(server.Client())
		if got := wantSharedStopped(t, shared); got != (watchsource.Status{}) {
			t.Errorf("the status is %+v before the first Start, want the zero value", got)
		}

		_, first := startShared(t, shared, "one")
		time.Sleep(time.Hour)
		server.Create(podOf("one", "2"))
		synctest.Wait()
		_, second := startShared(t, shared, "two")
		synctest.Wait()
		got, own := shared.Status(), second.Status()
		if got.Phase != watchsource.Watching || got.AppID != "" || got.Lists != 1 || got.Events != 1 || got.ResourceVersion != server.ResourceVersion() {
			t.Errorf("the status is %+v, want Watching, no application, 1 list, 1 event, version %s", got, server.ResourceVersion())
		}
		if own.Events != 0 || own.Lists != 0 || own.LastContact != got.LastContact {
			t.Errorf("the status of a late source is %+v, want its own counts and the contact of the watch", own)
		}
		if err := shared.Healthy(time.Minute); err != nil {
			t.Errorf("Healthy = %v, want nil", err)
		}

		server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(10 * time.Minute)
		if err := shared.Healthy(3 * time.Minute); !errorIs(syscall.ECONNREFUSED)(err) || strings.Count(err.Error(), "watchsource: ") != 1 {
			t.Errorf("Healthy = %v in an outage, want an error with its cause and one prefix", err)
		}
		if got := shared.Status(); got.Phase != watchsource.Retrying || got.Err == nil {
			t.Errorf("phase %v, error %v in an outage, want Retrying and an error", got.Phase, got.Err)
		}

		first.Stop()
		if got := shared.Status().Phase; got != watchsource.Retrying {
			t.Errorf("phase %v while a source is started, want Retrying", got)
		}
		second.Stop()
		if got := wantSharedStopped(t, shared); got.Err == nil || got.Events != 1 || !got.Since.Equal(time.Now()) {
			t.Errorf("the status is %+v after the last Stop, want its counts and the last error, since now", got)
		}
	})
}

// A shared watch whose first list fails is stopped, and its status has the error.
func TestSharedWatchStatusAfterAFailedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Inject(watchtest.Fault{Do: watchtest.Answer(forbidden)})
		shared := watchsource.NewSharedWatch(server.Client())
		if err := shared.Source(watchsource.NewStore()).Start("app"); err == nil {
			t.Fatal("Start = nil, want an error")
		}
		if got := shared.Status(); got.Phase != watchsource.Stopped || got.Err == nil {
			t.Errorf("phase %v, error %v, want Stopped and the error of the list", got.Phase, got.Err)
		}
	})
}

// A watch that is accepted and ended again and again, as behind a proxy that passes lists
// only, is a fault. A line "Watch restored" follows a line that names the fault.
func TestRestoredFollowsAnInterruption(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		log := new(logLines)
		env.start(watchsource.WithLogger(log.logger(0)))
		lift := env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.Cut()})
		env.server.Strike(watchtest.Cut())
		time.Sleep(10 * time.Minute)
		lift()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := env.source.Status(); got.Err == nil || got.Phase != watchsource.Watching {
			t.Errorf("phase %v, error %v, want Watching and the error of the fault", got.Phase, got.Err)
		}
		troubled := false
		for i, line := range log.matching() {
			restored := strings.Contains(line, restoredLine)
			if restored && !troubled {
				t.Fatalf("line %d follows no line of a trouble: %s", i+1, line)
			}
			troubled = !restored
		}
		if len(log.matching()) == 0 {
			t.Error("no line about the fault")
		}
	})
}

// askingSink needs four minutes for the message that no watch is open, and then asks for the Status.
// The message of a refused request has a delay.
type askingSink struct {
	logr.LogSink
	ask func() watchsource.Status
}

func (s askingSink) WithValues(pairs ...any) logr.LogSink {
	return askingSink{s.LogSink.WithValues(pairs...), s.ask}
}

func (s askingSink) Info(level int, message string, pairs ...any) {
	if message == "Watch interrupted, retrying" && !slices.Contains(pairs, any("delay")) {
		time.Sleep(4 * time.Minute)
		s.ask()
	}
	s.LogSink.Info(level, message, pairs...)
}

// A logger may ask for the Status, even if the API server has been silent for so long meanwhile
// that this is to be logged too. After Stop it is not logged any more.
func TestSlowLoggerAsksForTheStatus(t *testing.T) {
	for name, test := range map[string]struct {
		stopAfter time.Duration
		blind     int
	}{
		"and the source goes on": {stopAfter: 5 * time.Minute, blind: 1},
		"and the source stops":   {stopAfter: 3*time.Minute + 30*time.Second, blind: 0},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server, log := watchtest.NewServer(), new(logLines)
			var source *watchsource.WatchSnapshotSource
			sink := askingSink{log.logger(0).GetSink(), func() watchsource.Status { return source.Status() }}
			source = newSource(watchsource.NewStore(), server.Client(), watchsource.WithLogger(logr.New(sink)))
			start(t, source, "app")
			server.Inject(watchtest.Fault{Do: watchtest.Hang()})
			server.Strike(watchtest.Reset())
			time.Sleep(test.stopAfter)
			source.Stop()
			if lines := log.matching("Nothing heard from the API server"); len(lines) != test.blind {
				t.Errorf("blindness was logged %d times, want %d", len(lines), test.blind)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Guarantee 7: trouble is visible. More tests of it are in health_test.go.

// G7: Status shows each fault, and the log has one line for each change.
func TestGuarantee7TroubleIsVisible(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		log := &logLines{}
		env.start(watchsource.WithNamespace("jobs"), watchsource.WithLogger(log.logger(0)))
		wantPhase := func(want watchsource.Phase) {
			t.Helper()
			synctest.Wait()
			if got := env.source.Status().Phase; got != want {
				t.Errorf("phase %v, want %v", got, want)
			}
		}
		wantPhase(watchsource.Watching)
		if got := env.source.Status(); got.Err != nil || got.Lists != 1 || got.AppID != "app" || got.LastContact.IsZero() {
			t.Errorf("status after Start %+v, want no error, 1 list, application app and a last contact", got)
		}

		lift := env.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		env.server.Strike(watchtest.Reset())
		time.Sleep(time.Second)
		wantPhase(watchsource.Retrying)
		time.Sleep(10 * time.Minute)
		wantPhase(watchsource.Retrying)
		if err := env.source.Status().Err; err == nil ||
			!strings.Contains(err.Error(), "connection refused") || strings.Count(err.Error(), "watchsource:") != 1 {
			t.Errorf("Status.Err = %v, want connection refused", err)
		}
		lift()

		lift = env.server.Inject(watchtest.Fault{Do: watchtest.Answer(forbidden)})
		time.Sleep(10 * time.Minute)
		wantPhase(watchsource.Retrying)
		if err := env.source.Status().Err; !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "grant the verbs list and watch") {
			t.Errorf("Status.Err = %v, want a 403 with the advice to grant the verbs", err)
		}
		lift()
		time.Sleep(time.Minute)
		wantPhase(watchsource.Watching)

		if lines := log.matching("Watch interrupted, retrying"); len(lines) != 2 {
			t.Errorf("%d lines \"Watch interrupted\" for two errors, want 2:\n%s", len(lines), strings.Join(lines, "\n"))
		}
		if lines := log.matching("Watch restored"); len(lines) != 1 {
			t.Errorf("%d lines \"Watch restored\" for one recovery, want 1", len(lines))
		}
		env.source.Stop()
		wantPhase(watchsource.Stopped)
	})
}

// A source does not report Watching while no watch is open, even if an attempt to open one
// is neither refused nor answered. It does not report Retrying if the next watch opens at
// once.
func TestGuarantee7BlindnessIsVisible(t *testing.T) {
	for _, test := range []struct {
		name string
		// effect ends the watch.
		effect watchtest.Effect
		// within is the time until Status must show it.
		within time.Duration
	}{
		{name: "reset", effect: watchtest.Reset(), within: 5 * time.Second},
		{name: "silent", effect: watchtest.Silence(), within: 155 * time.Second},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			log := &logLines{}
			env.start(watchsource.WithLogger(log.logger(0)))
			time.Sleep(2*time.Minute + 5*time.Second) // for a bookmark
			began := env.source.Status().Since
			env.server.Strike(watchtest.Reset())
			time.Sleep(time.Minute)
			if got := env.source.Status(); got.Phase != watchsource.Watching || got.Since != began || got.Resumes != 1 {
				t.Errorf("a minute after an ordinary reconnection the status is %+v, want Watching since %v and 1 resume", got, began)
			}

			lift := env.server.Inject(watchtest.Fault{Do: watchtest.Hang()})
			env.server.Strike(test.effect)
			time.Sleep(test.within + time.Second)
			synctest.Wait()
			if got := env.source.Status(); got.Phase != watchsource.Retrying || got.Err == nil {
				t.Errorf("%v after the watch was lost the status is %+v, want Retrying and an error", test.within, got)
			}
			lift()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if got := env.source.Status(); got.Phase != watchsource.Watching || got.Relists != 0 {
				t.Errorf("after the recovery the status is %+v, want Watching and no relists", got)
			}
			if lines := log.matching("Watch restored"); len(lines) != 1 {
				t.Errorf("%d lines \"Watch restored\" for one recovery, want 1", len(lines))
			}
		})
	}
}

// Healthy does not return an error for a reconnection. It returns one soon after the source
// receives nothing any more, for any reason.
func TestGuarantee7Healthy(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		const maxSilence = 3 * time.Minute
		server := watchtest.NewServer()
		source := newSource(watchsource.NewStore(), server.Client())
		if err := source.Healthy(maxSilence); err == nil {
			t.Error("Healthy = nil before Start, want an error")
		}
		start(t, source, "app")
		t.Cleanup(source.Stop)
		wantHealthy := func(d time.Duration) {
			t.Helper()
			for range int(d / (10 * time.Second)) {
				if err := source.Healthy(maxSilence); err != nil {
					t.Fatalf("Healthy = %v, want nil", err)
				}
				time.Sleep(10 * time.Second)
			}
		}
		wantHealthy(time.Hour) // with no events but bookmarks
		for range 20 {
			server.Strike(watchtest.Reset())
			wantHealthy(time.Minute)
		}
		for name, effect := range map[string]watchtest.Effect{
			"away": watchtest.Refuse(), "hanging": watchtest.Hang(), "forbidding": watchtest.Answer(forbidden), "silent": watchtest.Silence(),
		} {
			lift := server.Inject(watchtest.Fault{Do: effect})
			server.Strike(watchtest.Reset())
			time.Sleep(10 * time.Minute)
			if err := source.Healthy(maxSilence); err == nil {
				t.Errorf("Healthy = nil with a server that is %s, want an error", name)
			}
			lift()
			time.Sleep(2 * time.Minute)
			wantHealthy(time.Minute)
		}
	})
}

func TestGuarantee7Observer(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.create("1")
		var seen []string
		env.start(watchsource.WithObserver(func(o watchsource.Observation) {
			seen = append(seen, fmt.Sprintf("%v pods=%d resumed=%v event=%q err=%v", o.Kind, o.Pods, o.Resumed, o.Event, o.Err != nil))
		}))
		step := func(want ...string) {
			t.Helper()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if !slices.Equal(seen, want) {
				t.Errorf("observed\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
			}
			seen = nil
		}
		step("Listed pods=1 resumed=false event=\"\" err=false", "Opened pods=0 resumed=false event=\"\" err=false")
		env.create("2")
		step("Received pods=0 resumed=false event=\"ADDED\" err=false")
		env.server.Strike(watchtest.Answer(internal)) // inside the stream
		step("Closed pods=0 resumed=false event=\"\" err=true", "Opened pods=0 resumed=true event=\"\" err=false")
		env.server.Inject(watchtest.Fault{Times: 1, Do: watchtest.Refuse()})
		env.server.Strike(watchtest.Cut())
		step("Closed pods=0 resumed=false event=\"\" err=false", "Refused pods=0 resumed=false event=\"\" err=true",
			"Opened pods=0 resumed=true event=\"\" err=false")
		env.server.Strike(watchtest.Answer(expired))
		step("Closed pods=0 resumed=false event=\"\" err=true", "Listed pods=2 resumed=false event=\"\" err=false",
			"Opened pods=0 resumed=false event=\"\" err=false")
	})
}

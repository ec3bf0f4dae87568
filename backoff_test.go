// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// The time between requests after faults.

// An expired version is not a fault of the server: the source lists at once and logs
// nothing.
func TestExpiredVersionIsListedAtOnce(t *testing.T) {
	for name, option := range map[string][]watchtest.Option{
		"in the first event": nil,
		"at connect":         {watchtest.WithExpiredAtConnect()},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, option...)
			log := &logLines{}
			env.start(watchsource.WithLogger(log.logger(0)))
			time.Sleep(time.Minute)
			changeWhileAway(env.server, func() {
				env.create("1")
				env.server.Compact()
			})
			env.wantEqualToList() // without any delay
			if got := env.source.Status().Relists; got != 1 {
				t.Errorf("%d relists, want 1", got)
			}
			if lines := log.matching(); len(lines) > 0 || env.source.Status().Phase != watchsource.Watching {
				t.Errorf("phase %v, logged %s, want Watching and no lines", env.source.Status().Phase, lines)
			}

			// A server whose versions all expire does not cause a tight loop of lists.
			time.Sleep(time.Minute)
			liftWatch := env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Answer(expired)})
			liftList := env.server.Inject(watchtest.Fault{On: watchtest.StreamingList, After: 2, Do: watchtest.Answer(expired)})
			before := env.server.Count(allLists)
			env.server.Strike(watchtest.Cut())
			time.Sleep(time.Minute)
			if n := env.server.Count(allLists) - before; n > 10 {
				t.Errorf("%d lists in a minute, want at most 10", n)
			}
			liftWatch()
			liftList()
			time.Sleep(time.Minute)
			if got := env.source.Status(); got.Relists == 0 || got.Phase != watchsource.Watching {
				t.Errorf("%d relists, phase %v, want at least 1 and Watching", got.Relists, got.Phase)
			}
			all, began, restored := log.matching(), log.matching("Watch interrupted"), log.matching("Watch restored")
			if len(began) != len(restored) || len(all) != len(began)+len(restored) {
				t.Errorf("logged %s, want the beginning and the end of each interruption", all)
			}
		})
	}
}

// The delay between requests to an unreachable server grows to at most 45 seconds. It is
// short again after the server has been healthy for a while.
func TestBackoff(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.start()
		time.Sleep(time.Minute)
		for range 2 {
			lift := env.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
			before := len(env.server.Requests())
			env.server.Strike(watchtest.Reset())
			time.Sleep(10 * time.Minute)
			requests := env.server.Requests()[before:]
			if n := len(requests); n < 15 || n > 27 {
				t.Errorf("%d requests in ten minutes, want 15 to 27", n)
			}
			if d := requests[2].Time.Sub(requests[0].Time); d > 5*time.Second {
				t.Errorf("the first three requests took %v, want at most 5s", d)
			}
			delays := map[time.Duration]bool{}
			for i := 10; i < len(requests); i++ {
				d := requests[i].Time.Sub(requests[i-1].Time)
				delays[d] = true
				if d < 30*time.Second || d > 45*time.Second {
					t.Errorf("%v between requests, want 30s to 45s", d)
				}
			}
			if len(delays) < 3 {
				t.Errorf("%d different delays, want at least 3: no jitter", len(delays))
			}
			lift()
			time.Sleep(10 * time.Minute)
		}
	})
}

// After a 401 or 403 the maximum delay is shorter, because the server is healthy.
func TestBackoffWithoutRights(t *testing.T) {
	for _, answer := range []*apierrors.StatusError{unauthorized, forbidden} {
		eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.start()
			time.Sleep(time.Minute)
			lift := env.server.Inject(watchtest.Fault{Do: watchtest.Answer(answer)})
			env.server.Strike(watchtest.Reset())
			time.Sleep(5 * time.Minute)
			before := len(env.server.Requests())
			time.Sleep(5 * time.Minute)
			if n := len(env.server.Requests()) - before; n < 20 || n > 30 {
				t.Errorf("%s: %d requests in five minutes, want 20 to 30", apierrors.ReasonForError(answer), n)
			}
			lift()
			time.Sleep(15 * time.Second)
			if got := env.source.Status().Phase; got != watchsource.Watching {
				t.Errorf("%s: phase %v after 15 seconds, want Watching", apierrors.ReasonForError(answer), got)
			}
		})
	}
}

// If every watch fails, the source leaves time between its lists, even if events arrive
// between them.
func TestListsAreSpaced(t *testing.T) {
	for _, test := range []struct {
		name string
		// after is the number of frames that arrive before the effect.
		after  int
		effect watchtest.Effect
	}{
		{name: "410 after one event", after: 1, effect: watchtest.Answer(expired)},
		{name: "410 at once", after: 0, effect: watchtest.SendError(expired)},
		{name: "410 at connect", after: 0, effect: watchtest.Answer(expired)},
		{name: "refused", after: 0, effect: watchtest.Answer(internal)},
		{name: "ended", after: 0, effect: watchtest.Cut()},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, watchtest.WithoutStreamingLists())
			env.create("1", phase(corev1.PodRunning))
			env.start()
			time.Sleep(5 * time.Minute)
			env.server.Inject(watchtest.Fault{On: watchtest.Watch, After: test.after, Do: test.effect})
			env.server.Strike(watchtest.Cut())
			go func() { // so that each stream has events
				for range 6000 {
					env.update("1", func(*corev1.Pod) {})
					time.Sleep(10 * time.Millisecond)
				}
			}()
			before := completeLists(env.server)
			time.Sleep(time.Minute)
			if n := completeLists(env.server) - before; n == 0 || n > 20 {
				t.Errorf("%d lists in a minute, want 1 to 20", n)
			}
		})
	}
}

// The source replaces a connection that is reset now and then at once, as an informer does.
func TestResetsAreRepairedAtOnce(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.start()
		for range 20 {
			time.Sleep(time.Minute)
			for range 3 {
				env.server.Strike(watchtest.Reset())
				env.server.Delete("jobs", env.create("1").Name)
				env.create("1")
				env.wantEqualToList() // without any delay
				env.delete("1")
				synctest.Wait()
			}
		}
	})
}

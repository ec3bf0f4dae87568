// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/executorpods/watchsource/controller"
	"github.com/executorpods/watchsource/watchtest"
)

var _ source.SyncingSource = (*controller.Source[reconcile.Request])(nil)

// Two hundred events of an owner are one request, or two if the first event comes alone, which
// is enqueued at once. Owners that change in the same interval are one request each.
func TestOneAddPerOwnerAndInterval(t *testing.T) {
	inBubble(t, func(e env) {
		_, q := e.start(e.Context())
		want(e.T, "added at the start", q.taken())
		nextInterval()
		e.pod("a", "first")
		synctest.Wait()
		want(e.T, "added after the first event", q.taken(), "a")
		for i := range 100 {
			name := fmt.Sprintf("a-%d", i)
			e.pod("a", name)
			e.end(name, 0)
		}
		e.pod("b", "b-0")
		synctest.Wait()
		want(e.T, "added before the interval has passed", q.taken())
		nextInterval()
		added := q.taken()
		slices.Sort(added)
		want(e.T, "added", added, "a", "b")
		nextInterval()
		want(e.T, "added in a quiet interval", q.taken())
	})
}

func TestIntervalIsTheShortestTimeBetweenTwoAdds(t *testing.T) {
	withOptions(t, controller.Options{Interval: 10 * time.Second}, func(e env) {
		e.pod("a", "a-0")
		_, q := e.start(e.Context())
		var times []time.Duration
		began := time.Now()
		q.onAdd = func(reconcile.Request) { times = append(times, time.Since(began)) }
		for i := range 35 { // an event each second, between two seconds
			time.Sleep(time.Second)
			e.pod("a", fmt.Sprintf("a-%d", i+1))
		}
		synctest.Wait()
		want(e.T, "times of the requests", times, 10*time.Second, 20*time.Second, 30*time.Second)
	})
}

// The owners that are there at the start have a low priority, as the objects in the first list of
// an informer have. Later changes have none.
func TestFirstRoundHasLowPriority(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		_, q := e.start(e.Context())
		want(e.T, "added at the start", q.taken(), "a priority -100")
		nextInterval()
		e.pod("a", "a-1")
		e.pod("new", "new-0")
		nextInterval()
		added := q.taken()
		slices.Sort(added)
		want(e.T, "added", added, "a", "new")
	})
}

func TestQueueWithoutPriorities(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		source, q := e.watch.Source(), newQueue()
		must(e.T, source.Start(e.Context(), plainQueue{queue: q}))
		must(e.T, source.WaitForSync(e.Context()))
		synctest.Wait()
		want(e.T, "added at the start", q.taken(), "a")
	})
}

// When an owner is added, a reconcile that begins at once sees the change and its end.
func TestViewIsWrittenBeforeTheAdd(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		source, q := e.start(e.Context())
		nextInterval()
		q.taken()
		var seen []string
		q.onAdd = func(r reconcile.Request) {
			look := source.Of(r)
			executor, _ := look.Snapshot.Get("a-0")
			seen = append(ends(look), executor.State.String())
		}
		e.end("a-0", 3)
		nextInterval()
		want(e.T, "added", q.taken(), "a")
		want(e.T, "seen during the add", seen, "a-0 Failed 3", "Failed")
	})
}

// Start returns although the API server does not answer, and WaitForSync waits.
func TestStartDoesNotBlock(t *testing.T) {
	inBubble(t, func(e env) {
		lift := e.server.Inject(watchtest.Fault{Do: watchtest.Hang()})
		source := e.watch.Source()
		began := time.Now()
		must(e.T, source.Start(e.Context(), newQueue()))
		if took := time.Since(began); took != 0 {
			e.Errorf("Start took %v, want 0", took)
		}
		go func() {
			time.Sleep(10 * time.Second)
			lift()
		}()
		must(e.T, source.WaitForSync(e.Context()))
		if took := time.Since(began); took < 10*time.Second {
			e.Errorf("WaitForSync returned after %v, want more than 10s", took)
		}
	})
}

// A controller with a missing right ends at once, and the error names the right. All sources have
// the error.
func TestMissingRightEndsWaitForSyncAtOnce(t *testing.T) {
	inBubble(t, func(e env) {
		e.server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "",
			errors.New(`User "operator" cannot list resource "pods" in API group "" at the cluster scope`)))})
		began := time.Now()
		for range 2 {
			source := e.watch.Source()
			must(e.T, source.Start(e.Context(), newQueue()))
			err := source.WaitForSync(e.Context())
			wantError(e.T, err, `"operator" cannot list resource "pods"`)
			if !apierrors.IsForbidden(err) {
				e.Errorf("the error %v is not Forbidden", err)
			}
		}
		if took := time.Since(began); took > time.Second {
			e.Errorf("WaitForSync failed after %v, want at once", took)
		}
	})
}

// The start ends before the two minutes of CacheSyncTimeout, so that the controller has its error.
func TestStartTimeoutIsBelowCacheSyncTimeout(t *testing.T) {
	inBubble(t, func(e env) {
		e.server.Inject(watchtest.Fault{Do: watchtest.Hang()})
		ctx, cancel := context.WithTimeout(e.Context(), 2*time.Minute)
		defer cancel()
		source := e.watch.Source()
		must(e.T, source.Start(e.Context(), newQueue()))
		err := source.WaitForSync(ctx)
		wantError(e.T, err, "gave no complete view within 1m30s")
		if ctx.Err() != nil {
			e.Error("WaitForSync waited for CacheSyncTimeout, want the error of the start before")
		}
	})
}

// With a shorter CacheSyncTimeout the error has the last one of the watch.
func TestWaitForSyncWithAShortTimeout(t *testing.T) {
	inBubble(t, func(e env) {
		e.server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewTooManyRequests("slow down", 1))})
		ctx, cancel := context.WithTimeout(e.Context(), 5*time.Second)
		defer cancel()
		source := e.watch.Source()
		must(e.T, source.Start(e.Context(), newQueue()))
		err := source.WaitForSync(ctx)
		wantError(e.T, err, "slow down", "deadline exceeded")
		if !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("errors.Is(%v, DeadlineExceeded) is false", err)
		}
	})
}

func TestSourceWithoutASelector(t *testing.T) {
	watch := controller.New(watchtest.NewServer().Client(), controller.ByLabel(ownerLabel), controller.Options{})
	wantError(t, watch.Source().Start(t.Context(), newQueue()), "Options.Selector is nil")
	wantError(t, watch.Start(t.Context()), "Options.Selector is nil")
}

func TestSourceMisused(t *testing.T) {
	inBubble(t, func(e env) {
		source := e.watch.Source()
		wantError(e.T, source.WaitForSync(e.Context()), "not started")
		must(e.T, source.Start(e.Context(), newQueue()))
		wantError(e.T, source.Start(e.Context(), newQueue()), "call Watch.Source for each controller")
		must(e.T, source.WaitForSync(e.Context()))
	})
}

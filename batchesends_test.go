// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Batches before Start, after Stop and between applications.

// A reader waits before the first Start, even if a Start fails, and ends with Stop. A
// reader that begins between Stop and the next Start is shown the last view, and ends.
func TestBatchesBeforeStartAndAfterStop(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		store := watchsource.NewStore()
		source := newSource(watchsource.Tee(&recordingStore{}, store), server.Client())
		refuse := func() (lift func()) {
			return server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role")))})
		}
		fail := func() {
			lift := refuse()
			defer lift()
			if err := source.Start("app"); !apierrors.IsForbidden(err) {
				t.Errorf("Start = %v, want forbidden", err)
			}
		}

		early := logBatches(t.Context(), store, time.Second, nil)
		time.Sleep(time.Second)
		source.Stop()
		fail()
		early.want(t, "0s ")
		start(t, source, "app")
		server.Create(pod("1"))
		time.Sleep(time.Second)
		early.want(t, "0s ", "1s exec-1 nothing>Pending")
		source.Stop()
		early.want(t, "0s ", "1s exec-1 nothing>Pending", "2s end")

		between := logBatches(t.Context(), store, time.Second, nil)
		between.want(t, "0s exec-1 nothing>Pending", "0s end")
		fail()
		between = logBatches(t.Context(), store, time.Second, nil)
		between.want(t, "0s exec-1 nothing>Pending", "0s end")

		start(t, source, "app")
		late := logBatches(t.Context(), store, time.Second, nil)
		time.Sleep(time.Hour)
		late.want(t, "0s exec-1 nothing>Pending")
		if err := source.Start("app"); !errors.Is(err, watchsource.ErrAlreadyStarted) {
			t.Errorf("Start = %v, want ErrAlreadyStarted", err)
		}
		if err := newSource(store, server.Client()).Start("app"); !errors.Is(err, watchsource.ErrStoreInUse) {
			t.Errorf("Start = %v, want ErrStoreInUse", err)
		}
		late.want(t, "0s exec-1 nothing>Pending")
		source.Stop()
		late.want(t, "0s exec-1 nothing>Pending", "1h0m0s end")
	})
}

// A store that a test fills itself never stops.
func TestBatchesOfAStoreWithoutASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		ctx, cancel := context.WithCancel(t.Context())
		log := logBatches(ctx, store, time.Second, nil)
		synctest.Wait()
		watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
		watcher.Replace([]*corev1.Pod{pod("1")}, "1")
		time.Sleep(time.Hour)
		log.want(t, "0s ", "1s exec-1 nothing>Pending")
		cancel()
		log.want(t, "0s ", "1s exec-1 nothing>Pending", "1h0m0s end")
	})
}

// A source may be started for another application with the same store. The view keeps
// the executors of the first until the list of the second arrives. The readers have
// ended by then, so none is shown that the executors of the first have left. Only the
// readers of a Store that does not receive ObserveStop are.
func TestStartForAnotherApplication(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		server.Create(pod("1", phase(corev1.PodRunning)))
		server.Create(pod("2", inApp("other")))
		store, hidden, calls := watchsource.NewStore(), watchsource.NewStore(), &recordingStore{}
		source := newSource(watchsource.Tee(store, forwardingStore{hidden}, calls), server.Client())
		start(t, source, "app")
		endless := logBatches(t.Context(), hidden, time.Second, nil)
		first := logBatches(t.Context(), store, time.Second, nil)
		synctest.Wait()
		source.Stop()
		wantNames(t, store, "exec-1=Running")
		server.Update("jobs", "exec-1", phase(corev1.PodFailed))

		start(t, source, "other")
		wantNames(t, store, "exec-2=Pending")
		second := logBatches(t.Context(), store, time.Second, nil)
		time.Sleep(time.Minute)
		first.want(t, "0s exec-1 nothing>Running", "0s end")
		second.want(t, "0s exec-2 nothing>Pending")
		endless.want(t, "0s exec-1 nothing>Running", "1s exec-1 Running>Deleted, exec-2 nothing>Pending")
		if got, want := calls.all(), []string{"replace exec-1", "replace exec-2"}; !slices.Equal(got, want) {
			t.Errorf("a user's store received %q, want %q", got, want)
		}
		source.Stop()
	})
}

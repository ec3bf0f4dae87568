// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// On a shared watch the versions that other applications bring are followed while a call waits: it
// returns at once, and not with the next bookmark. A call that begins before Start follows them too.
func TestSharedWatchCallsFollowVersions(t *testing.T) {
	for name, call := range map[string]func(context.Context, *watchsource.StoreBy[string], string) bool{
		"WaitForEnd": func(ctx context.Context, s *watchsource.StoreBy[string], version string) bool {
			_, err := s.WaitForEnd(ctx, "a", "exec-9", version)
			return apierrors.IsNotFound(err)
		},
		"WaitForResourceVersion": func(ctx context.Context, s *watchsource.StoreBy[string], version string) bool {
			_, err := s.WaitForResourceVersion(ctx, "a", version)
			return err == nil
		},
	} {
		for _, beforeStart := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " before Start ", beforeStart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := watchtest.NewServer()
					last, _ := strconv.Atoi(server.Create(pod("1", ofJob("a"))).ResourceVersion)
					store := watchsource.NewStoreBy(byJob)
					source := watchsource.NewSharedWatch(server.Client()).Source(store)
					defer source.Stop()
					if !beforeStart {
						start(t, source, "app")
					}
					began, done := time.Now(), make(chan bool)
					go func() { done <- call(t.Context(), store, fmt.Sprint(last+1)) }()
					synctest.Wait()
					if beforeStart {
						start(t, source, "app")
					}
					server.Create(podOf("other", "1"))
					if ok, took := <-done, time.Since(began); !ok || took != 0 {
						t.Errorf("the call took %v, found what it waits for %v; want 0s, true", took, ok)
					}
				})
			})
		}
	}
}

// A call that waits for an owner that comes only after the source has stopped fails, as one for an
// owner that is there.
func TestStopEndsCallsOfAllOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStoreBy(byJob)
		store.ReplaceSnapshot([]*corev1.Pod{pod("1", ofJob("a"))})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		errs := make(chan error, 4)
		never := func(watchsource.Snapshot) bool { return false }
		for _, owner := range []string{"a", "none"} {
			go func() { _, err := store.WaitFor(ctx, owner, never); errs <- err }()
			go func() { _, err := store.WaitForResourceVersion(ctx, owner, "9"); errs <- err }()
		}
		synctest.Wait()
		store.ObserveStop()
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, watchsource.ErrStopped) {
				t.Errorf("%v, want ErrStopped", err)
			}
		}
		store.UpdatePod(pod("2", ofJob("late"))) // of a user that goes on
		_, err := store.WaitFor(ctx, "none", never)
		if !errors.Is(err, watchsource.ErrStopped) {
			t.Errorf("%v after Stop, want ErrStopped", err)
		}
	})
}

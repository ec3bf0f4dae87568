// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Faults of an API server or the network. Most of them are stories, see testdata/stories/README.md.

const allLists = watchtest.List | watchtest.StreamingList

var (
	forbidden    = apierrors.NewForbidden(podsResource.GroupResource(), "", errors.New("RBAC"))
	unauthorized = apierrors.NewUnauthorized("who are you")
	internal     = apierrors.NewInternalError(errors.New("etcd has a cold"))
	expired      = apierrors.NewResourceExpired("too old resource version")
	busy         = apierrors.NewTooManyRequests("come back later", 20)
)

// tooLarge is the error of an API server whose cache has not reached the requested version.
func tooLarge() *apierrors.StatusError {
	err := apierrors.NewTimeoutError("Too large resource version", 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	return err
}

// changeWhileAway ends the open stream and lets the client resume a second later, after
// the change.
func changeWhileAway(server *watchtest.Server, change func()) {
	server.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Delay(time.Second)})
	server.Strike(watchtest.Cut())
	synctest.Wait() // until the client waits for its answer
	change()
	time.Sleep(time.Second)
}

// Every watch ends after five to ten minutes. This causes no list and no error.
func TestWatchesEndEveryFewMinutes(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.start()
		for i := range 24 {
			time.Sleep(time.Hour)
			env.create(fmt.Sprint(i))
			env.wantEqualToList()
		}
		if n := completeLists(env.server); n != 1 {
			t.Errorf("%d lists in a day, want 1", n)
		}
		if n := env.server.Count(watchtest.Watch); n < 24*6 || n > 24*12 {
			t.Errorf("%d watches in a day, want %d to %d", n, 24*6, 24*12)
		}
		if got := env.source.Status(); got.Errors != 0 {
			t.Errorf("%d errors in a quiet day, want 0: %v", got.Errors, got.Err)
		}
	})
}

// A proxy swallows the stream before the first bookmark arrives.
func TestStreamSwallowedAfterStart(t *testing.T) {
	for name, options := range map[string][]watchtest.Option{
		"streaming list": nil,
		"plain list":     {watchtest.WithoutStreamingLists()},
		"no bookmarks":   {watchtest.WithoutStreamingLists(), watchtest.WithBookmarkInterval(0)},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, options...)
			env.start()
			time.Sleep(10 * time.Second)
			env.server.Strike(watchtest.Silence())
			env.create("1")
			time.Sleep(4 * time.Minute)
			env.wantEqualToList()
			if got := env.source.Status(); got.Relists != 0 || got.Stalls != 1 {
				t.Errorf("%d relists and %d stalls, want 0 and 1", got.Relists, got.Stalls)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// G6: the source notices a silent dead watch and replaces it, with and without bookmarks. It
// does not send many requests to a server without bookmarks.
func TestGuarantee6SilenceIsNoticed(t *testing.T) {
	for _, test := range []struct {
		name    string
		server  []watchtest.Option
		options []watchsource.Option
		within  time.Duration
		// hourly is the largest number of requests in a quiet hour.
		hourly int
	}{
		{name: "bookmarks", within: 3 * time.Minute, hourly: 13},
		{name: "no bookmarks", server: []watchtest.Option{watchtest.WithBookmarkInterval(0)}, within: 3 * time.Minute, hourly: 31},
		{
			name: "a stall timeout", options: []watchsource.Option{watchsource.WithStallTimeout(90 * time.Second)},
			within: 92 * time.Second, hourly: 13,
		},
		{
			name: "a stall timeout without bookmarks", server: []watchtest.Option{watchtest.WithBookmarkInterval(0)},
			options: []watchsource.Option{watchsource.WithStallTimeout(time.Minute)}, within: 62 * time.Second, hourly: 76,
		},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, test.server...)
			env.start(test.options...)
			time.Sleep(2 * time.Minute) // for a bookmark, if the server sends them
			env.server.Strike(watchtest.Silence())
			env.create("1")
			env.create("2")
			time.Sleep(test.within)
			env.wantEqualToList()
			if got := env.source.Status(); got.Stalls == 0 || got.Relists != 0 {
				t.Errorf("%d stalls and %d relists in Status, want at least 1 and 0", got.Stalls, got.Relists)
			}
			before := env.server.Count(^watchtest.Verb(0))
			time.Sleep(time.Hour)
			if n := env.server.Count(^watchtest.Verb(0)) - before; n > test.hourly {
				t.Errorf("%d requests in a quiet hour, want at most %d", n, test.hourly)
			}
		})
	}
}

// The time that the store needs does not count as silence of the server.
func TestSlowStoreIsNoStall(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		store := &recordingStore{}
		source := startSource(t, newSource, server, store, watchsource.WithStallTimeout(90*time.Second))
		store.mu.Lock()
		store.block = make(chan struct{})
		store.mu.Unlock()
		server.Create(pod("1"))
		time.Sleep(4 * time.Minute)
		close(store.block)
		server.Create(pod("2"))
		time.Sleep(time.Second)
		if got := source.Status(); got.Stalls != 0 || got.Resumes != 0 || got.Events != 2 {
			t.Errorf("status %+v, want no stalls, no resumes and 2 events", got)
		}
	})
}

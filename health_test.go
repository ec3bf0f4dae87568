// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// The source is healthy in a quiet cluster, and not if it cannot see.

// cuttingProxies are the cases of TestGuarantee7LostStoreIsNotHealthy.
var cuttingProxies = map[string]watchtest.Effect{
	"direct":                      {},
	"a proxy that cuts each 15 s": watchtest.Limit(15*time.Second, watchtest.Reset()),
	"a proxy that cuts each 50 s": watchtest.Idle(50*time.Second, watchtest.Cut()),
	"nginx":                       watchtest.HoldHeaders(),
}

// An API server that has lost its etcd opens and ends watches as before. The source says within
// four minutes that it cannot see, with the words of the server, whenever it asked last. If nginx
// then holds the answer to a watch back, the source asks the server a minute later.
func TestGuarantee7LostStoreIsNotHealthy(t *testing.T) {
	for name, cut := range cuttingProxies {
		for _, before := range []time.Duration{
			time.Second, 61 * time.Second, 149 * time.Second, 5 * time.Minute, 8 * time.Minute, 3 * time.Hour,
		} {
			eachCaseInBubble(t, fmt.Sprint(name, " after ", before), func(t *testing.T, newSource modeltest.NewSource) {
				env := newEnv(t, newSource)
				log := new(logLines)
				if name != "direct" {
					env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: cut})
				}
				live := liveCluster(t, env.server)
				env.start(watchsource.WithLogger(log.logger(0)))
				for outage := range 2 {
					time.Sleep(before)
					if err := env.source.Healthy(3 * time.Minute); err != nil {
						t.Fatalf("Healthy = %v, want nil", err)
					}
					restore := env.server.LoseStore()
					live.Store(false)
					time.Sleep(4*time.Minute + time.Second) // the next bookmark may come a minute after the loss
					for minute := range 10 {
						err := env.source.Healthy(3 * time.Minute)
						held := name == "nginx" && minute == 0
						if err == nil || !held && (!apierrors.IsTimeout(err) || !strings.Contains(err.Error(), "ask for the version")) {
							t.Errorf("Healthy = %v four minutes after the server has lost its store, want what it says of a list", err)
							break
						}
						time.Sleep(time.Minute)
					}
					wantLines(t, log, outage+1, blindLine)
					relists := completeLists(env.server)
					restore()
					live.Store(true)
					time.Sleep(time.Minute)
					if err, got := env.source.Healthy(3*time.Minute), env.source.Status(); err != nil || got.Phase != watchsource.Watching || got.Relists != 0 {
						t.Errorf("Healthy = %v, phase %v, %d relists after the store is back, want nil, Watching and 0", err, got.Phase, got.Relists)
					}
					env.server.Create(pod(fmt.Sprint(outage)))
					time.Sleep(time.Second)
					env.wantEqualToList()
					if n := completeLists(env.server) - relists; n != 0 {
						t.Errorf("%d lists, want 0", n)
					}
				}
			})
		}
	}
}

// The error of Healthy is for people: it has no nanoseconds.
func TestHealthyRoundsTheSilence(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.start()
		time.Sleep(1_234_567_891 * time.Nanosecond)
		const want = "watchsource: nothing heard from the API server for 1.2s"
		if err := env.source.Healthy(time.Second); err == nil || err.Error() != want {
			t.Errorf("Healthy = %v, want %q", err, want)
		}
	})
}

// liveCluster advances the version of a server every ten seconds while it is true, as the leases
// of nodes and components do.
func liveCluster(t *testing.T, server *watchtest.Server) *atomic.Bool {
	live := new(atomic.Bool)
	live.Store(true)
	every(t, 10*time.Second, func() {
		if live.Load() {
			server.Advance(1)
		}
	})
	return live
}

// The bookmarks of a server may not move although its versions do: it learns of them only from
// its etcd. Such a server is healthy, and is asked once in five minutes. So is a cluster in which
// nothing changes, which is asked once.
func TestGuarantee7BookmarksThatDoNotMove(t *testing.T) {
	for name, test := range map[string]struct {
		// after is the time until others write, and the bookmarks of the server move.
		after time.Duration
		live  bool
		lists int
	}{
		"nothing changes":             {lists: 2},
		"the version moves":           {live: true, lists: 1},
		"the version moves each hour": {after: time.Hour, live: true, lists: 3*12 + 3},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			if test.live && test.after == 0 {
				liveCluster(t, env.server)
			}
			env.start()
			for second := range 3 * 3600 {
				if test.after > 0 && time.Duration(second)*time.Second%test.after == 0 {
					env.server.Advance(1)
				}
				time.Sleep(time.Second)
				if err := env.source.Healthy(3 * time.Minute); err != nil {
					t.Fatalf("Healthy = %v after %d seconds, want nil", err, second+1)
				}
			}
			if n := env.server.Count(allLists); n > test.lists {
				t.Errorf("%d lists in three hours, want at most %d", n, test.lists)
			}
			if got := env.source.Status(); got.Stalls != 0 || got.Relists != 0 || got.Errors != 0 {
				t.Errorf("status %+v, want no stalls, relists and errors", got)
			}
		})
	}
}

// quietClusters are the cases of TestGuarantee7QuietClusterIsHealthy.
var quietClusters = []struct {
	name   string
	server []watchtest.Option
	// noBookmarks says that the server sends no bookmarks in watches.
	noBookmarks bool
	// endBookmarks says that the server sends no bookmarks after an hour.
	endBookmarks bool
	options      []watchsource.Option
	json         bool
}{
	{name: "bookmarks"},
	{name: "none on a watch that is resumed", noBookmarks: true},
	{name: "bookmarks that cease", endBookmarks: true},
	{name: "JSON", noBookmarks: true, json: true},
	{name: "none but the last", server: []watchtest.Option{watchtest.WithBookmarkInterval(0)}},
	{name: "no streaming lists", server: []watchtest.Option{watchtest.WithBookmarkInterval(0), watchtest.WithoutStreamingLists()}},
	{name: "short stall timeout", options: []watchsource.Option{watchsource.WithStallTimeout(45 * time.Second)}},
	{
		name: "short stall timeout and no bookmarks", noBookmarks: true,
		options: []watchsource.Option{watchsource.WithStallTimeout(45 * time.Second)},
	},
}

// The source is healthy in a cluster in which nothing happens, even if the server sends no
// bookmarks, or if the stall timeout is shorter than the interval of the bookmarks.
func TestGuarantee7QuietClusterIsHealthy(t *testing.T) {
	for _, test := range quietClusters {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer(test.server...)
			if test.noBookmarks {
				server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()})
			}
			client := server.Client()
			if test.json {
				client = server.JSONClient()
			}
			source := newSource(watchsource.NewStore(), client, test.options...)
			start(t, source, "app")
			defer source.Stop()
			server.Strike(watchtest.Cut())
			before := server.Count(allLists)
			for second := range 3 * 3600 {
				if test.endBookmarks && second == 3600 {
					server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.OmitBookmarks()})
					server.Strike(watchtest.OmitBookmarks())
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if err := source.Healthy(3 * time.Minute); err != nil {
					t.Fatalf("Healthy = %v after %d seconds, want nil", err, second+1)
				}
			}
			if n := server.Count(allLists) - before; n > 3*60/5 {
				t.Errorf("%d lists in three hours, want at most %d, one in five minutes", n, 3*60/5)
			}
			for _, r := range server.Requests()[3:] {
				if r.Verb == watchtest.List && (r.Options.FieldSelector == "" || r.Namespace == "") {
					t.Errorf("request %v, want no list of more than one name", r)
				}
			}
			status := source.Status()
			if n := len(server.Requests()); n > 3*120 || status.Stalls > 1 || status.Relists > 0 {
				t.Errorf("%d requests, %d stalls and %d relists in three quiet hours, want at most %d, 1 and 0", n, status.Stalls,
					status.Relists, 3*120)
			}
		})
	}
}

// A source that receives nothing because the network drops everything is not healthy. It
// must distinguish this from a quiet cluster.
func TestGuarantee7LostSightIsNotHealthy(t *testing.T) {
	for name, effect := range map[string]watchtest.Effect{
		"black hole": watchtest.Hang(), "proxy that swallows everything": watchtest.Silence(),
	} {
		for _, before := range []time.Duration{time.Minute, 3 * time.Hour} {
			eachCaseInBubble(t, fmt.Sprint(name, before), func(t *testing.T, newSource modeltest.NewSource) {
				env := newEnv(t, newSource)
				env.start()
				defer env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.OmitBookmarks()})()
				time.Sleep(before)
				env.server.Inject(watchtest.Fault{Do: effect})
				env.server.Strike(watchtest.Silence())
				time.Sleep(4 * time.Minute)
				for range 3600 {
					if err := env.source.Healthy(3 * time.Minute); err == nil {
						t.Fatal("Healthy = nil, want an error, because nothing arrives from the server")
					}
					time.Sleep(time.Second)
				}
			})
		}
	}
}

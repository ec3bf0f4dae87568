// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Proxies that cut streams, and how the source learns when they do.

// busyCluster changes a pod of no application each second. The server keeps 75 seconds of
// history, as the watch cache of kube-apiserver does.
func busyCluster(t *testing.T, options ...watchtest.Option) *watchtest.Server {
	server := watchtest.NewServer(append(options, watchtest.WithHistory(75))...)
	server.Create(pod("1", phase(corev1.PodRunning)))
	other := pod("other", func(p *corev1.Pod) { p.Labels = nil })
	server.Create(other)
	every(t, time.Second, func() { server.Update(other.Namespace, other.Name, func(*corev1.Pod) {}) })
	return server
}

// every calls a function at an interval until the test ends.
func every(t *testing.T, interval time.Duration, do func()) {
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(interval):
				do()
			}
		}
	}()
}

// Proxies that cut streams before the first bookmark cost no lists on a busy cluster, although
// the version of each stream soon leaves the server's cache.
func TestEarlyCutsOnABusyCluster(t *testing.T) {
	for name, cut := range map[string]watchtest.Effect{
		"Envoy, 15 s for a request":           watchtest.Limit(15*time.Second, watchtest.Reset()),
		"a limit of 15 s with a good end":     watchtest.Limit(15*time.Second, watchtest.Cut()),
		"HAProxy, 50 s idle, HTTP/2":          watchtest.Idle(50*time.Second, watchtest.Cut()),
		"HAProxy, 50 s idle, HTTP/1.1":        watchtest.Idle(50*time.Second, watchtest.Tear()),
		"nginx, 60 s idle":                    watchtest.Idle(60*time.Second-time.Millisecond, watchtest.Reset()),
		"a proxy that cuts after ten seconds": watchtest.Idle(10*time.Second, watchtest.Reset()),
		"a proxy that cuts after 5 seconds":   watchtest.Limit(5*time.Second, watchtest.Reset()),
	} {
		for _, streaming := range []bool{true, false} {
			eachCaseInBubble(t, fmt.Sprint(name, ", streaming lists ", streaming), func(t *testing.T, newSource modeltest.NewSource) {
				var options []watchtest.Option
				if !streaming {
					options = append(options, watchtest.WithoutStreamingLists())
				}
				server := busyCluster(t, options...)
				server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: cut})
				cutHour(t, newSource, server, server.Client())
			})
		}
	}
	for _, timeout := range []time.Duration{10 * time.Second, 30 * time.Second} {
		eachCaseInBubble(t, fmt.Sprint("rest.Config.Timeout ", timeout), func(t *testing.T, newSource modeltest.NewSource) {
			server := busyCluster(t)
			config := server.Config()
			config.Timeout = timeout
			got := cutHour(t, newSource, server, clientFor(t, config))
			if got.Errors != 0 {
				t.Errorf("%d errors in an hour, want 0, because the client's timeout is known", got.Errors)
			}
		})
	}
}

// cutHour watches for an hour through a proxy that cuts streams.
func cutHour(t *testing.T, newSource modeltest.NewSource, server *watchtest.Server, client kubernetes.Interface) watchsource.Status {
	store := watchsource.NewStore()
	source := newSource(store, client)
	start(t, source, "app")
	defer source.Stop()
	for i := range 60 {
		time.Sleep(time.Minute)
		if err := source.Healthy(3 * time.Minute); err != nil {
			t.Errorf("Healthy = %v after %d minutes, want nil", err, i+1)
		}
	}
	server.Update("jobs", "exec-1", phase(corev1.PodSucceeded))
	time.Sleep(2 * time.Second)
	wantEqualToList(t, server, store)
	got := source.Status()
	if got.Relists != 0 || got.Phase != watchsource.Watching {
		t.Errorf("%d relists, phase %v, want 0 and Watching: %v", got.Relists, got.Phase, got.Err)
	}
	if got.Errors > 6 {
		t.Errorf("%d errors in an hour, want at most 6: the next streams end before they are cut", got.Errors)
	}
	return got
}

// A connection that breaks soon after an event does not shorten a bound that was learned.
func TestBrokenConnectionKeepsALearnedCut(t *testing.T) {
	for _, quiet := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second} {
		eachCaseInBubble(t, fmt.Sprint(quiet), func(t *testing.T, newSource modeltest.NewSource) {
			server := busyCluster(t)
			server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.Limit(15*time.Second, watchtest.Reset())})
			startSource(t, newSource, server, watchsource.NewStore())
			time.Sleep(5 * time.Minute)
			server.Create(pod("2"))
			time.Sleep(quiet)
			server.Strike(watchtest.Reset())
			before := server.Count(watchtest.Watch)
			time.Sleep(5 * time.Minute)
			if n := server.Count(watchtest.Watch) - before; n < 20 || n > 30 {
				t.Errorf("%d watches in five minutes, want 20 to 30: each somewhat shorter than 15 s", n)
			}
		})
	}
}

// When the proxy changes, the source learns its new limit. When it is gone, watches last five
// to ten minutes again.
func TestCutsOfAnotherProxy(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := busyCluster(t)
		cut := func(d time.Duration) func() {
			lift := server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.Limit(d, watchtest.Reset())})
			server.Strike(watchtest.Reset())
			return lift
		}
		lift := cut(50 * time.Second)
		store := watchsource.NewStore()
		source := startSource(t, newSource, server, store)
		asked := func() time.Duration {
			requests := server.Requests()
			for i := len(requests) - 1; ; i-- {
				if requests[i].Verb == watchtest.Watch {
					return time.Duration(*requests[i].Options.TimeoutSeconds) * time.Second
				}
			}
		}
		for _, limit := range []time.Duration{50 * time.Second, 15 * time.Second, 40 * time.Second} {
			lift()
			lift = cut(limit)
			time.Sleep(3 * time.Hour)
			before := source.Status()
			if got := asked(); got >= limit || got < limit/2 {
				t.Errorf("a watch is asked to end after %v, want somewhat below %v", got, limit)
			}
			time.Sleep(3 * time.Hour)
			if now := source.Status(); now.Relists != 0 || now.Errors-before.Errors > 4 {
				t.Errorf("%d relists and %d errors in three hours with a limit of %v, want 0 and at most 4", now.Relists,
					now.Errors-before.Errors, limit)
			}
		}
		lift()
		time.Sleep(25 * time.Hour)
		if got := asked(); got < 5*time.Minute {
			t.Errorf("a watch is asked to end after %v without a proxy, want at least 5m", got)
		}
	})
}

// A cluster that is idle behind a proxy and then becomes busy costs no lists.
func TestEarlyCutsWhenAClusterBecomesBusy(t *testing.T) {
	for _, limit := range []time.Duration{15 * time.Second, 50 * time.Second} {
		eachCaseInBubble(t, fmt.Sprint(limit), func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, watchtest.WithHistory(75))
			env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.Limit(limit, watchtest.Reset())})
			other := pod("other", func(p *corev1.Pod) { p.Labels = nil })
			env.server.Create(other)
			env.start()
			time.Sleep(time.Hour)
			for range 3600 {
				env.server.Update(other.Namespace, other.Name, func(*corev1.Pod) {})
				time.Sleep(time.Second)
			}
			if got := env.source.Status(); got.Relists != 0 {
				t.Errorf("%d relists in a busy hour after an idle one, want 0", got.Relists)
			}
		})
	}
}

// One broken connection is no proxy. A server without bookmarks is not asked to end its streams
// early, because that would not move the version.
func TestEndsThatAreNoEarlyCut(t *testing.T) {
	eachCaseInBubble(t, "one broken connection", func(t *testing.T, newSource modeltest.NewSource) {
		server := busyCluster(t)
		startSource(t, newSource, server, watchsource.NewStore())
		time.Sleep(10 * time.Second)
		server.Strike(watchtest.Reset())
		before := server.Count(watchtest.Watch)
		time.Sleep(time.Hour)
		if n := server.Count(watchtest.Watch) - before; n > 14 {
			t.Errorf("%d watches in the hour after one reset, want at most 14", n)
		}
	})
	eachCaseInBubble(t, "a cut soon after an event", func(t *testing.T, newSource modeltest.NewSource) {
		server := busyCluster(t)
		startSource(t, newSource, server, watchsource.NewStore())
		time.Sleep(90 * time.Second) // for a bookmark
		server.Create(pod("2"))
		time.Sleep(5 * time.Second)
		server.Strike(watchtest.Reset())
		synctest.Wait()
		requests := server.Requests()
		if got := *requests[len(requests)-1].Options.TimeoutSeconds; got < 300 {
			t.Errorf("the watch after a cut is asked to end after %d seconds, want at least 300, because the version is fresh", got)
		}
	})
	eachCaseInBubble(t, "no bookmarks", func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()})
		env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.Limit(50*time.Second, watchtest.Reset())})
		env.start()
		time.Sleep(time.Hour)
		short := 0
		for _, r := range env.server.Requests() {
			if r.Verb == watchtest.Watch && *r.Options.TimeoutSeconds < 50 {
				short++
			}
		}
		if short > 60 {
			t.Errorf("%d watches in an hour were asked to end before the cut, want at most 60, five in ten minutes", short)
		}
		if err := env.source.Healthy(3 * time.Minute); err != nil {
			t.Errorf("Healthy = %v, want nil", err)
		}
	})
}

// openTime measures from an observer's calls how long a watch is open.
type openTime struct {
	// opened and closed are the times of the last Opened and Closed.
	opened, closed time.Time
	open, gap      time.Duration
	longestGap     time.Duration
}

func (o *openTime) observe(event watchsource.Observation) {
	switch event.Kind {
	case watchsource.Opened:
		o.opened = time.Now()
		if !o.closed.IsZero() {
			gap := o.opened.Sub(o.closed)
			o.gap += gap
			o.longestGap = max(o.longestGap, gap)
		}
	case watchsource.Closed:
		o.closed = time.Now()
		o.open += o.closed.Sub(o.opened)
	}
}

// A proxy cuts idle streams (kubespray issue 655). The source does not treat this as a fault
// of the server.
func TestIdleCuts(t *testing.T) {
	for _, test := range []struct {
		idle time.Duration
		cut  watchtest.Effect
		// open is the least part of the time in which a watch is open.
		open float64
	}{
		{idle: 1500 * time.Millisecond, cut: watchtest.Cut(), open: 0.6},
		{idle: 1500 * time.Millisecond, cut: watchtest.Reset(), open: 0.6},
		{idle: 3 * time.Second, cut: watchtest.Cut(), open: 0.7},
		{idle: 3 * time.Second, cut: watchtest.Reset(), open: 0.7},
		{idle: 4500 * time.Millisecond, cut: watchtest.Cut(), open: 0.8},
		{idle: 4500 * time.Millisecond, cut: watchtest.Reset(), open: 0.8},
	} {
		eachCaseInBubble(t, fmt.Sprint(test.idle), func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			var o openTime
			env.start(watchsource.WithObserver(o.observe))
			env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Idle(test.idle, test.cut)})
			env.server.Strike(watchtest.Idle(test.idle, test.cut))
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if part := o.open.Seconds() / (o.open + o.gap).Seconds(); part < test.open || o.longestGap > 1500*time.Millisecond {
				t.Errorf("a watch was open for %.2f of the time with a gap of %v, want at least %.2f and at most 1.5s", part, o.longestGap, test.open)
			}
			if got := env.source.Status(); got.Relists != 0 || got.Phase != watchsource.Watching {
				t.Errorf("%d relists, phase %v, want 0 and Watching", got.Relists, got.Phase)
			}
			if err := env.source.Healthy(3 * time.Minute); err != nil {
				t.Errorf("Healthy = %v, want nil", err)
			}
			env.create("1")
			time.Sleep(1500 * time.Millisecond)
			env.wantEqualToList()
		})
	}
}

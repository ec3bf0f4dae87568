// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// reinitializing is what kube-apiserver answers while it reads its database again.
var reinitializing = apierrors.NewTooManyRequests("storage is (re)initializing", 1)

// A database is put back under a running API server, as when the external database of k3s fails
// over to a replica that lags. All watches end in good order. Then requests may be refused for a
// moment, or the server may accept a watch from the version that it has lost at once.
func TestEtcdRestored(t *testing.T) {
	for name, test := range map[string]struct {
		refused watchtest.Verb // for a second
		inside  bool           // the streams end with the refusal
	}{
		"nothing is refused":               {},
		"a watch is refused":               {refused: watchtest.Watch},
		"lists are refused":                {refused: watchtest.List | watchtest.StreamingList},
		"everything is refused":            {refused: ^watchtest.Verb(0)},
		"the refusal is the last event":    {inside: true},
		"and a watch is refused after it":  {inside: true, refused: watchtest.Watch},
		"and everything is refused after":  {inside: true, refused: ^watchtest.Verb(0)},
		"a streaming list is refused once": {refused: watchtest.StreamingList},
	} {
		for _, idle := range []time.Duration{2 * time.Second, 30 * time.Second, 61 * time.Second, 4 * time.Minute} {
			eachCaseInBubble(t, fmt.Sprint(name, " after ", idle), func(t *testing.T, newSource modeltest.NewSource) {
				env := newEnv(t, newSource)
				env.create("1", phase(corev1.PodRunning))
				env.create("2", phase(corev1.PodRunning))
				env.start()
				ends := countEnds(t, env.store)
				restore := env.server.Backup()
				env.update("1", phase(corev1.PodSucceeded))
				for i := range 12 {
					env.server.Create(pod(fmt.Sprint("lost-", i)))
				}
				time.Sleep(idle)

				if test.refused != 0 {
					defer env.server.Inject(watchtest.Fault{On: test.refused, Times: 1, Do: watchtest.Answer(reinitializing)})()
				}
				if test.inside {
					env.server.Strike(watchtest.Answer(reinitializing))
				}
				env.server.Strike(watchtest.Cut())
				restore()
				time.Sleep(5 * time.Second)
				env.wantEqualToList()
				if got := env.source.Status(); got.Phase != watchsource.Watching {
					t.Errorf("phase %v, want Watching: %v", got.Phase, got.Err)
				}
				env.update("1", phase(corev1.PodSucceeded))
				env.update("2", phase(corev1.PodFailed))
				time.Sleep(time.Second)
				if got, want := ends(), "exec-1 Succeeded, exec-2 Failed"; got != want {
					t.Errorf("ends %q, want %q: each end once", got, want)
				}
			})
		}
	}
}

// While an application is busy its streams end soon after an event, whatever ends them.
func TestEtcdRestoredUnderABusyApplication(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.create("1", phase(corev1.PodRunning))
		env.start()
		changeFor := func(seconds int) {
			for range seconds {
				time.Sleep(time.Second)
				env.update("1", func(*corev1.Pod) {})
			}
			time.Sleep(500 * time.Millisecond)
		}
		changeFor(30)
		env.server.Strike(watchtest.Reset())
		changeFor(90)
		restore := env.server.Backup()
		for i := range 12 {
			env.server.Create(pod(fmt.Sprint("lost-", i)))
		}
		time.Sleep(500 * time.Millisecond)
		env.server.Strike(watchtest.Cut())
		restore()
		time.Sleep(5 * time.Second)
		env.wantEqualToList()
	})
}

// countEnds reads the ends of a store until the test ends, and returns a function that joins
// those so far.
func countEnds(t *testing.T, store *watchsource.Store) func() string {
	var ends []string
	go func() {
		for batch := range store.Batches(t.Context(), 0) {
			for _, change := range batch.Changes {
				if change.Ended {
					ends = append(ends, fmt.Sprint(change.After.Name, " ", change.After.State))
				}
			}
		}
	}()
	return func() string {
		synctest.Wait()
		return strings.Join(ends, ", ")
	}
}

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
				testCutHour(t, newSource, server, server.Client())
			})
		}
	}
	for _, timeout := range []time.Duration{10 * time.Second, 30 * time.Second} {
		eachCaseInBubble(t, fmt.Sprint("rest.Config.Timeout ", timeout), func(t *testing.T, newSource modeltest.NewSource) {
			server := busyCluster(t)
			config := server.Config()
			config.Timeout = timeout
			got := testCutHour(t, newSource, server, clientFor(t, config))
			if got.Errors != 0 {
				t.Errorf("%d errors in an hour, want 0, because the client's timeout is known", got.Errors)
			}
		})
	}
}

// testCutHour watches for an hour through a proxy that cuts streams.
func testCutHour(t *testing.T, newSource modeltest.NewSource, server *watchtest.Server, client kubernetes.Interface) watchsource.Status {
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
				t.Errorf("%d relists and %d errors in three hours with a limit of %v, want 0 and at most 4", now.Relists, now.Errors-before.Errors, limit)
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

// A proxy may stop to hold answers back. Then an unanswered watch is trouble again.
func TestHeldHeadersAreForgotten(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		liveCluster(t, env.server)
		lift := env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.HoldHeaders()})
		env.start()
		time.Sleep(time.Hour)
		lift()
		env.server.Strike(watchtest.Reset())
		time.Sleep(10 * time.Minute)
		env.server.Inject(watchtest.Fault{Do: watchtest.Hang()})
		env.server.Strike(watchtest.Reset())
		time.Sleep(6 * time.Second)
		if got := env.source.Status(); got.Phase != watchsource.Retrying {
			t.Errorf("phase %v six seconds after the connection was lost, want Retrying", got.Phase)
		}
	})
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

// nginx holds the headers of an answer back until the first byte of its body, and cuts streams
// that are idle for a minute. The source sees everything, and says so.
func TestHeldHeaders(t *testing.T) {
	for name, faults := range map[string][]watchtest.Effect{
		"no cuts":              nil,
		"60 s, HTTP/2":         {watchtest.Idle(time.Minute, watchtest.Reset())},
		"60 s, HTTP/1.1":       {watchtest.Idle(time.Minute, watchtest.Tear()), watchtest.Idle(time.Minute, watchtest.Cut())},
		"60 s and a good end":  {watchtest.Idle(time.Minute, watchtest.Cut())},
		"60 s, no bookmarks":   {watchtest.OmitBookmarks(), watchtest.Idle(time.Minute, watchtest.Reset())},
		"no cuts or bookmarks": {watchtest.OmitBookmarks()},
	} {
		for _, dropped := range []bool{false, true} {
			eachCaseInBubble(t, fmt.Sprint(name, ", black hole ", dropped), func(t *testing.T, newSource modeltest.NewSource) {
				server, log := watchtest.NewServer(), new(logLines)
				for _, effect := range append(faults, watchtest.HoldHeaders()) {
					server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: effect})
				}
				store := watchsource.NewStore()
				var refused int
				source := newSource(store, server.Client(), watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(func(o watchsource.Observation) {
					if o.Kind == watchsource.Refused {
						refused++
					}
				}))
				start(t, source, "app")
				defer source.Stop()
				server.Strike(watchtest.Cut())
				before := completeLists(server)
				for second := range 3600 {
					time.Sleep(time.Second)
					if err, got := source.Healthy(3*time.Minute), source.Status(); err != nil || got.Phase != watchsource.Watching {
						t.Fatalf("after %d seconds Healthy = %v, phase %v, want nil and Watching: %v", second+1, err, got.Phase, got.Err)
					}
				}
				synctest.Wait()
				wantLines(t, log, 0, "msg")
				if n := completeLists(server) - before; n != 0 || refused != 0 {
					t.Errorf("%d relists and %d refusals in an idle hour, want 0", n, refused)
				}
				// One after the cut, one that finds the proxy, one that finds that there are no
				// bookmarks, and one in five minutes after that.
				if n := server.Count(watchtest.List); n > 3+12 {
					t.Errorf("%d checks of the version in an hour, want at most %d", n, 3+12)
				}
				if dropped {
					defer server.Inject(watchtest.Fault{Do: watchtest.Hang()})()
					server.Strike(watchtest.Silence())
					time.Sleep(4*time.Minute + 5*time.Second) // the proxy cuts the stream after a minute
					if err, got := source.Healthy(3*time.Minute), source.Status(); err == nil || got.Phase != watchsource.Retrying {
						t.Errorf("after 4 minutes in a black hole Healthy = %v, phase %v, want an error and Retrying", err, got.Phase)
					}
					wantLines(t, log, 1, blindLine)
					return
				}
				server.Create(pod("1"))
				time.Sleep(4 * time.Second) // at most until the answer is taken to be held back
				wantEqualToList(t, server, store)
			})
		}
	}
}

// A client may lack the right to list. The refusal of a check shows that the server is there.
func TestHeldHeadersWithoutTheRightToList(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		liveCluster(t, env.server)
		env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.HoldHeaders()})
		env.server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Answer(forbidden)})
		env.start()
		env.server.Strike(watchtest.Reset())
		for second := range 3600 {
			time.Sleep(time.Second)
			if err, got := env.source.Healthy(3*time.Minute), env.source.Status(); err != nil || got.Phase != watchsource.Watching {
				t.Fatalf("after %d seconds Healthy = %v, phase %v, want nil and Watching: %v", second+1, err, got.Phase, got.Err)
			}
		}
	})
}

// A watch that is refused late is refused, also if it was taken for open.
func TestLateRefusal(t *testing.T) {
	for name, test := range map[string]struct {
		do      watchtest.Effect
		times   int
		relists int
	}{
		"forbidden": {do: watchtest.Answer(forbidden), times: 3},
		"busy":      {do: watchtest.Answer(busy), times: 3},
		"internal":  {do: watchtest.Answer(internal), times: 3, relists: 1},
		"expired":   {do: watchtest.Answer(expired), times: 1, relists: 1},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.start()
			time.Sleep(90 * time.Second)
			env.server.Inject(watchtest.Fault{On: watchtest.Watch, Times: test.times, Do: watchtest.Delay(10 * time.Second)})
			lift := env.server.Inject(watchtest.Fault{On: watchtest.Watch, Times: test.times, Do: test.do})
			env.server.Strike(watchtest.Cut())
			before := len(env.server.Requests())
			time.Sleep(11 * time.Second)
			if got := env.source.Status(); name != "expired" && (got.Phase != watchsource.Retrying || got.Err == nil || !strings.Contains(got.Err.Error(), "watch pods")) {
				t.Errorf("phase %v, error %v, want Retrying and the refusal of the watch", got.Phase, got.Err)
			}
			time.Sleep(2 * time.Minute)
			lift()
			env.create("1")
			time.Sleep(2 * time.Minute)
			env.wantEqualToList()
			if got := env.source.Status().Relists; got != test.relists {
				t.Errorf("%d relists, want %d", got, test.relists)
			}
			if n := len(env.server.Requests()) - before; n > 20 {
				t.Errorf("%d requests in four minutes, want at most 20", n)
			}
		})
	}
}

// A watch that is always refused late is one trouble, and the source is not healthy.
func TestLateRefusalsAreLoggedOnce(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, log := watchtest.NewServer(), new(logLines)
		source := startSource(t, newSource, server, watchsource.NewStore(), watchsource.WithLogger(log.logger(0)))
		time.Sleep(90 * time.Second)
		server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Delay(10 * time.Second)})
		lift := server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Answer(forbidden)})
		server.Strike(watchtest.Cut())
		time.Sleep(11 * time.Second)
		for range 300 {
			time.Sleep(time.Second)
			if got := source.Status(); got.Phase != watchsource.Retrying {
				t.Fatalf("phase %v while each watch is refused, want Retrying", got.Phase)
			}
		}
		if err := source.Healthy(3 * time.Minute); !apierrors.IsForbidden(err) {
			t.Errorf("Healthy = %v, want the refusal", err)
		}
		wantLines(t, log, 1, "Watch interrupted")
		lift()
		time.Sleep(time.Minute)
		if err, got := source.Healthy(3*time.Minute), source.Status(); err != nil || got.Phase != watchsource.Watching {
			t.Errorf("Healthy = %v, phase %v after the refusals, want nil and Watching", err, got.Phase)
		}
	})
}

// deafClient is a wrapped client that ignores contexts, as some wrappers do.
type deafClient struct{ kubernetes.Interface }

type deafCore struct{ typedcorev1.CoreV1Interface }

type deafPods struct{ typedcorev1.PodInterface }

func (c deafClient) CoreV1() typedcorev1.CoreV1Interface { return deafCore{c.Interface.CoreV1()} }

func (c deafCore) Pods(namespace string) typedcorev1.PodInterface {
	return deafPods{c.CoreV1Interface.Pods(namespace)}
}

func (p deafPods) List(_ context.Context, options metav1.ListOptions) (*corev1.PodList, error) {
	return p.PodInterface.List(context.Background(), options)
}

func (p deafPods) Watch(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return p.PodInterface.Watch(context.Background(), options)
}

// Stop leaves a watch and a check behind together if the client does not end them.
func TestStopDuringACheckOfAHeldWatch(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		source := newSource(watchsource.NewStore(), deafClient{server.Client()})
		start(t, source, "app")
		defer server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Hang()})()
		server.Strike(watchtest.Reset())
		time.Sleep(time.Second) // the version is checked, and the next watch is requested
		defer server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Hang()})()
		time.Sleep(3 * time.Second)
		began := time.Now()
		source.Stop()
		if took := time.Since(began); took > 300*time.Millisecond {
			t.Errorf("Stop took %v, want at most 300ms", took)
		}
	})
}

// hungGateway answers as a gateway whose server hangs, once hung is closed: with 504 after a
// minute.
func hungGateway(next http.RoundTripper, hung <-chan struct{}) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		select {
		case <-hung:
		default:
			return next.RoundTrip(r)
		}
		select {
		case <-time.After(time.Minute):
			const page = "<html><head><title>504 Gateway Time-out</title></head></html>"
			return &http.Response{StatusCode: http.StatusGatewayTimeout, Header: http.Header{"Content-Type": {"text/html"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(page))}, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
}

// The API server behind a proxy that holds answers back hangs. A watch that the proxy refuses
// in the server's place is no sign of life, whenever the last check was.
func TestHungServerBehindHeldHeaders(t *testing.T) {
	for _, bookmarks := range []bool{true, false} {
		for minutes := 20; minutes < 26; minutes++ {
			eachCaseInBubble(t, fmt.Sprint("bookmarks ", bookmarks, ", after ", minutes, "m"), func(t *testing.T, newSource modeltest.NewSource) {
				server, log := watchtest.NewServer(), new(logLines)
				effects := []watchtest.Effect{watchtest.Idle(time.Minute, watchtest.Reset()), watchtest.HoldHeaders()}
				if !bookmarks {
					effects = append(effects, watchtest.OmitBookmarks())
				}
				for _, effect := range effects {
					server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: effect})
				}
				hung := make(chan struct{})
				config := server.Config()
				config.Wrap(func(next http.RoundTripper) http.RoundTripper { return hungGateway(next, hung) })
				source := newSource(watchsource.NewStore(), clientFor(t, config), watchsource.WithLogger(log.logger(0)))
				start(t, source, "app")
				defer source.Stop()
				time.Sleep(time.Duration(minutes) * time.Minute)
				if err := source.Healthy(3 * time.Minute); err != nil {
					t.Fatalf("Healthy = %v, want nil", err)
				}
				close(hung)
				server.Strike(watchtest.Reset())
				time.Sleep(4*time.Minute + 5*time.Second)
				if err, got := source.Healthy(3*time.Minute), source.Status(); err == nil || got.Phase != watchsource.Retrying {
					t.Errorf("Healthy = %v, phase %v four minutes after the server began to hang, want an error and Retrying", err, got.Phase)
				}
				wantLines(t, log, 1, "Watch interrupted")
			})
		}
	}
}

// An API server that has lost its etcd opens and ends watches as before. The source says within
// four minutes that it cannot see, with the words of the server, whenever it asked last.
func TestGuarantee7LostStoreIsNotHealthy(t *testing.T) {
	for name, cut := range map[string]watchtest.Effect{
		"direct":                      {},
		"a proxy that cuts each 15 s": watchtest.Limit(15*time.Second, watchtest.Reset()),
		"a proxy that cuts each 50 s": watchtest.Idle(50*time.Second, watchtest.Cut()),
		"nginx":                       watchtest.HoldHeaders(),
	} {
		for _, before := range []time.Duration{time.Second, 61 * time.Second, 149 * time.Second, 5 * time.Minute, 8 * time.Minute, 3 * time.Hour} {
			eachCaseInBubble(t, fmt.Sprint(name, " after ", before), func(t *testing.T, newSource modeltest.NewSource) {
				server, log := watchtest.NewServer(), new(logLines)
				if name != "direct" {
					server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: cut})
				}
				live := liveCluster(t, server)
				store := watchsource.NewStore()
				source := startSource(t, newSource, server, store, watchsource.WithLogger(log.logger(0)))
				for outage := range 2 {
					time.Sleep(before)
					if err := source.Healthy(3 * time.Minute); err != nil {
						t.Fatalf("Healthy = %v, want nil", err)
					}
					restore := server.LoseStore()
					live.Store(false)
					time.Sleep(4*time.Minute + time.Second) // the next bookmark may come a minute after the loss
					for range 10 {
						err := source.Healthy(3 * time.Minute)
						if err == nil || !apierrors.IsTimeout(err) || !strings.Contains(err.Error(), "ask for the version") {
							t.Errorf("Healthy = %v four minutes after the server has lost its store, want what it says of a list", err)
							break
						}
						time.Sleep(time.Minute)
					}
					wantLines(t, log, outage+1, blindLine)
					relists := completeLists(server)
					restore()
					live.Store(true)
					time.Sleep(time.Minute)
					if err, got := source.Healthy(3*time.Minute), source.Status(); err != nil || got.Phase != watchsource.Watching || got.Relists != 0 {
						t.Errorf("Healthy = %v, phase %v, %d relists after the store is back, want nil, Watching and 0", err, got.Phase, got.Relists)
					}
					server.Create(pod(fmt.Sprint(outage)))
					time.Sleep(time.Second)
					wantEqualToList(t, server, store)
					if n := completeLists(server) - relists; n != 0 {
						t.Errorf("%d lists, want 0", n)
					}
				}
			})
		}
	}
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
		after time.Duration // until the server is asked, as others do, and its bookmarks move
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

// rest.Config.Timeout cuts each watch. Start says so once.
func TestClientTimeoutIsLogged(t *testing.T) {
	const line = `"msg"="Client ends each watch early, set rest.Config.Timeout to 0"`
	for timeout, lines := range map[time.Duration]int{0: 0, time.Second: 1, 30 * time.Second: 1, 9 * time.Minute: 1, 10 * time.Minute: 0, time.Hour: 0} {
		for _, wrapped := range []bool{false, true} {
			eachCaseInBubble(t, fmt.Sprint(timeout, ", wrapped ", wrapped), func(t *testing.T, newSource modeltest.NewSource) {
				server, log := watchtest.NewServer(), new(logLines)
				config := server.Config()
				config.Timeout = timeout
				var client kubernetes.Interface = clientFor(t, config)
				if wrapped {
					client = wrappedClient{client}
				}
				source := newSource(watchsource.NewStore(), client, watchsource.WithLogger(log.logger(0)))
				start(t, source, "app")
				defer source.Stop()
				time.Sleep(time.Hour)
				wantLines(t, log, lines, line, fmt.Sprintf(`"timeout"="%v"`, timeout))
			})
		}
	}
}

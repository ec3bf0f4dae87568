// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// The faults that an API server or the network can cause in a watch, and the time within
// which the store must be correct again.

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

// injectAndReset injects an effect into the next requests and resets the open streams.
func injectAndReset(server *watchtest.Server, effect watchtest.Effect, times int) (lift func()) {
	lift = server.Inject(watchtest.Fault{Times: times, Do: effect})
	server.Strike(watchtest.Reset())
	return lift
}

// compactWhileAway compacts the client's version away while the client is disconnected.
func compactWhileAway(server *watchtest.Server) (lift func()) {
	lift = injectAndReset(server, watchtest.Refuse(), 1)
	server.Create(pod("1000"))
	server.Compact()
	return lift
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

func TestStreamingListFallsBack(t *testing.T) {
	for _, test := range []struct {
		name   string
		option []watchtest.Option
		fault  watchtest.Fault
	}{
		{name: "unknown to the server", option: []watchtest.Option{watchtest.WithoutStreamingLists()}, fault: watchtest.Fault{}},
		{name: "its last bookmark never comes", fault: watchtest.Fault{Do: watchtest.OmitInitialEventsEnd()}},
		{name: "silent from the start", fault: watchtest.Fault{Do: watchtest.Silence()}},
		{name: "cut in the middle", fault: watchtest.Fault{After: 2, Do: watchtest.Cut()}},
		{name: "reset in the middle", fault: watchtest.Fault{After: 2, Do: watchtest.Reset()}},
		{name: "a cache that lags behind", fault: watchtest.Fault{Do: watchtest.Answer(apierrors.NewTooManyRequests("the cache lags", 1))}},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, test.option...)
			for i := range 5 {
				env.create(fmt.Sprint(i))
			}
			if test.option == nil {
				test.fault.On = watchtest.StreamingList
				defer env.server.Inject(test.fault)()
			}
			env.start()
			env.wantEqualToList()
			if old, errs := test.option != nil, env.source.Status().Errors; old != (errs == 0) {
				t.Errorf("%d errors in Status, want none: %v", errs, old)
			}
			env.create("6")
			env.wantEqualToList()
			tries := env.server.Count(watchtest.StreamingList)

			// The source does not request a streaming list again for a while, unless
			// the server was only busy.
			busy := strings.Contains(test.name, "lags")
			env.server.Strike(watchtest.Answer(expired))
			time.Sleep(time.Minute)
			env.wantEqualToList()
			if again := env.server.Count(watchtest.StreamingList) > tries; again != busy {
				t.Errorf("another streaming list within a minute: %v, want %v", again, busy)
			}
		})
	}
}

// A streaming list has no end, but other events continue to arrive: changes of pods, or
// bookmarks without the annotation that ends the list.
func TestEndlessStreamingList(t *testing.T) {
	for _, test := range []struct {
		name   string
		option watchtest.Option
		churn  bool
	}{
		{name: "with changes", option: watchtest.WithBookmarkInterval(0), churn: true},
		{name: "with bookmarks", option: watchtest.WithBookmarkInterval(7 * time.Second)},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, test.option)
			env.create("1")
			env.start()
			defer env.server.Inject(watchtest.Fault{On: watchtest.StreamingList, Do: watchtest.OmitInitialEventsEnd()})()
			env.server.Strike(watchtest.Answer(expired))
			env.create("2")
			for i := range 30 {
				if test.churn {
					env.update("1", func(p *corev1.Pod) { p.Annotations = map[string]string{"step": fmt.Sprint(i)} })
				}
				time.Sleep(time.Second)
			}
			env.wantEqualToList()
		})
	}
}

// answerNull makes the server answer lists with a JSON null, except the first ones.
func answerNull(server *watchtest.Server, after int) (lift func()) {
	raw := server.Inject(watchtest.Fault{On: watchtest.List, After: after, Do: watchtest.SendRaw([]byte("null"))})
	cut := server.Inject(watchtest.Fault{On: watchtest.List, After: after, Do: watchtest.Cut()})
	return func() { raw(); cut() }
}

// client-go accepts an answer without a version as an empty list. The source must not: it
// would delete every executor.
func TestListWithoutVersion(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer(watchtest.WithoutStreamingLists())
		server.Create(pod("1"))
		store := watchsource.NewStore()
		source := newSource(store, server.JSONClient())
		lift := answerNull(server, 0)
		if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "without a resource version") {
			t.Errorf("Start = %v, want an error that says \"without a resource version\"", err)
		}
		lift()
		start(t, source, "app")
		defer source.Stop()
		defer answerNull(server, 0)()
		server.Compact()
		server.Strike(watchtest.SendError(expired))
		time.Sleep(30 * time.Second)
		if got := names(store.Snapshot()); got != "exec-1=Pending" {
			t.Errorf("snapshot %q, want exec-1=Pending", got)
		}
		if got := source.Status(); got.Phase != watchsource.Retrying {
			t.Errorf("status %+v, want phase Retrying", got)
		}
	})
}

// The source also rejects a list whose last page has no version.
func TestPageWithoutVersion(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		const pods = 600 // more than a page
		server := watchtest.NewServer(watchtest.WithoutStreamingLists())
		for i := range pods {
			server.Create(pod(fmt.Sprint(i)))
		}
		defer answerNull(server, 1)()
		store := watchsource.NewStore()
		source := newSource(store, server.JSONClient())
		defer source.Stop()
		if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "without a resource version") {
			t.Errorf("Start = %v, with %d of %d executors, want an error that says \"without a resource version\"", err, store.Snapshot().Len(), pods)
		}
	})
}

// Start gives up a slow streaming list early enough to have time for a plain list.
func TestSlowStreamingListDuringStart(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		for i := range 200 {
			env.create(fmt.Sprint(i))
		}
		defer env.server.Inject(watchtest.Fault{On: watchtest.StreamingList, Do: watchtest.Slow(300, time.Second)})()
		began := time.Now()
		env.start(watchsource.WithStartTimeout(30 * time.Second))
		if took := time.Since(began); took < 15*time.Second || took > 16*time.Second {
			t.Errorf("Start took %v, want 15s to 16s", took)
		}
		env.wantEqualToList()
	})
}

// disguisedFake gives a fake clientset a REST client, so the source takes it for the client of
// a server, and requests streaming lists from it.
type disguisedFake struct{ kubernetes.Interface }

func (c disguisedFake) CoreV1() typedcorev1.CoreV1Interface {
	return restCore{c.Interface.CoreV1(), struct{ rest.Interface }{}}
}

// Pods change during a streaming list, as they do if the cache of the API server must first
// catch up.
func TestChangesDuringStreamingList(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		events := watch.NewFakeWithChanSize(10, false)
		client.PrependWatchReactor("pods", k8stesting.DefaultWatchReactor(events, nil))
		for _, id := range []string{"1", "2", "3"} {
			events.Add(pod(id, uid(id), version("1"+id)))
		}
		events.Action(watch.Bookmark, bookmark("19").Object) // does not end the list
		events.Modify(pod("2", uid("2"), version("20"), phase(corev1.PodRunning)))
		events.Delete(pod("3", uid("3"), version("21")))
		events.Delete(pod("1", uid("1"), version("22")))
		events.Add(pod("1", uid("1b"), version("23"), phase(corev1.PodRunning)))
		events.Action(watch.Bookmark, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: "24", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
		}})
		store := watchsource.NewStore()
		source := newSource(store, disguisedFake{client})
		start(t, source, "app")
		defer source.Stop()
		synctest.Wait()
		if got := names(store.Snapshot()); got != "exec-1=Running exec-2=Running" || store.Snapshot().ResourceVersion() != "24" {
			t.Errorf("snapshot %q at version %q, want exec-1=Running exec-2=Running at 24", got, store.Snapshot().ResourceVersion())
		}
		if n := source.Status().Events; n != 0 {
			t.Errorf("%d events before the end of the list were reported one by one, want 0", n)
		}
		events.Add(pod("4", version("25")))
		wantNames(t, store, "exec-1=Running exec-2=Running exec-4=Pending")
	})
}

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

// The observer and Status distinguish a watch that was cut from a watch that ended
// normally.
func TestObserverSeesHowTheWatchEnded(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault watchtest.Effect
		is    func(error) bool
	}{
		{name: "in good order", fault: watchtest.Cut(), is: func(err error) bool { return err == nil }},
		{name: "in a frame", fault: watchtest.Tear(), is: func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{name: "by a reset", fault: watchtest.Reset(), is: func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			var closed []error
			env.start(watchsource.WithObserver(func(o watchsource.Observation) {
				if o.Kind == watchsource.Closed {
					closed = append(closed, o.Err)
				}
			}))
			env.server.Strike(test.fault)
			env.create("1")
			synctest.Wait()
			if len(closed) != 1 || !test.is(closed[0]) {
				t.Errorf("the observer received Closed with %v, want one that ended %s", closed, test.name)
			}
			status := env.source.Status()
			if status.Err != nil && !test.is(status.Err) || status.Errors > 1 || status.Relists > 0 {
				t.Errorf("status %+v, want the same error or none, at most 1 error and no relists", status)
			}
		})
	}
}

func TestStartErrors(t *testing.T) {
	onlyWatch := watchtest.Watch | watchtest.StreamingList
	for _, test := range []struct {
		name   string
		option []watchtest.Option
		fault  watchtest.Fault
		is     func(error) bool
		says   string
		within time.Duration
	}{
		{name: "forbidden", fault: watchtest.Fault{Do: watchtest.Answer(forbidden)}, is: apierrors.IsForbidden, says: "grant the verbs list and watch on the resource pods with a Role", within: time.Second},
		{name: "list forbidden", option: []watchtest.Option{watchtest.WithoutStreamingLists()}, fault: watchtest.Fault{On: watchtest.List, Do: watchtest.Answer(forbidden)}, is: apierrors.IsForbidden, says: "grant the verbs list and watch", within: time.Second},
		{name: "watch forbidden", option: []watchtest.Option{watchtest.WithoutStreamingLists()}, fault: watchtest.Fault{On: onlyWatch, Do: watchtest.Answer(forbidden)}, is: apierrors.IsForbidden, says: "grant the verbs list and watch", within: time.Second},
		{name: "unauthorized", fault: watchtest.Fault{Do: watchtest.Answer(unauthorized)}, is: apierrors.IsUnauthorized, says: "check the token", within: time.Second},
		{name: "connection refused", fault: watchtest.Fault{Do: watchtest.Refuse()}, is: errorIs(syscall.ECONNREFUSED), says: "check the address", within: 8 * time.Second},
		{name: "connection closed", fault: watchtest.Fault{Do: watchtest.Break(io.EOF)}, is: errorIs(io.EOF), says: "EOF", within: 35 * time.Second},
		{name: "never answers", fault: watchtest.Fault{Do: watchtest.Hang()}, is: errorIs(context.DeadlineExceeded), says: "no complete view within 30s", within: 31 * time.Second},
		{name: "silent", fault: watchtest.Fault{Do: watchtest.Silence()}, is: errorIs(context.DeadlineExceeded), says: "no complete view within 30s", within: 31 * time.Second},
		{name: "busy for ever", fault: watchtest.Fault{Do: watchtest.Answer(busy)}, is: apierrors.IsTimeout, says: "no complete view within 30s", within: 31 * time.Second},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer(test.option...)
			server.Create(pod("1"))
			lift := server.Inject(test.fault)
			store := &recordingStore{}
			source := newSource(store, server.Client(), watchsource.WithNamespace("jobs"))
			began := time.Now()
			err := source.Start("app")
			if err == nil || !test.is(err) || !strings.Contains(err.Error(), test.says) || strings.Count(err.Error(), "watchsource:") != 1 {
				t.Errorf("Start = %v, want an error that says %q", err, test.says)
			}
			if took := time.Since(began); took > test.within {
				t.Errorf("Start took %v, want at most %v", took, test.within)
			}
			if calls := store.all(); len(calls) > 0 {
				t.Errorf("the store received %q, want no calls", calls)
			}
			lift()
			synctest.Wait()
			if streams := server.Streams(); len(streams) > 0 {
				t.Errorf("%d streams are open, want none", len(streams))
			}
			start(t, source, "app")
			source.Stop()
		})
	}
}

func errorIs(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func TestStopIsQuickInEveryState(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault watchtest.Effect
		cut   bool // inject the fault and reset the open stream
	}{
		{name: "watching", fault: watchtest.Effect{}},
		{name: "backing off from a server that is away", fault: watchtest.Refuse(), cut: true},
		{name: "backing off as the server asked", fault: watchtest.Answer(busy), cut: true},
		{name: "waiting for an answer", fault: watchtest.Hang(), cut: true},
		{name: "waiting for a silent stream", fault: watchtest.Silence(), cut: true},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.start()
			if test.cut {
				defer env.server.Inject(watchtest.Fault{Do: test.fault})()
				env.server.Strike(watchtest.Reset())
				time.Sleep(20 * time.Second)
			}
			began := time.Now()
			env.source.Stop()
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("Stop took %v, want at most 100ms", took)
			}
			synctest.Wait()
			if streams := env.server.Streams(); len(streams) > 0 {
				t.Errorf("%d streams are open, want none", len(streams))
			}
		})
	}
}

// After a pod has left the selection, the watcher ignores its later events until the pod
// matches again.
func TestPodLeavesTheSelection(t *testing.T) {
	elsewhere := label(watchsource.LabelRole, "driver")
	store := &recordingStore{}
	watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
	for _, event := range []watch.Event{
		added(pod("1", uid("u"), version("1"))),
		modified(pod("1", uid("u"), version("2"), elsewhere)),
		modified(pod("1", uid("u"), version("3"), elsewhere)),
		modified(pod("1", uid("u"), version("4"))),
	} {
		must(t, watcher.Receive(event))
	}
	want := []string{"update exec-1", "delete exec-1", "update exec-1"}
	if got := store.all(); !slices.Equal(got, want) {
		t.Errorf("the store received %q, want %q", got, want)
	}
}

// droppingStore embeds a Store and forwards no updates or deletions to it, like a store that
// filters.
type droppingStore struct {
	*watchsource.Store
	deleted int
}

func (s *droppingStore) UpdatePod(*corev1.Pod) {}
func (s *droppingStore) DeletePod(*corev1.Pod) { s.deleted++ }

// A type that embeds a Store receives every deletion, even if the embedded Store does not
// have the pod.
func TestStoreThatEmbedsStore(t *testing.T) {
	store := &droppingStore{Store: watchsource.NewStore()}
	watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
	must(t, watcher.Receive(added(pod("1", uid("u"), version("1")))))
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("2"), label(watchsource.LabelRole, "driver")))))
	if store.deleted != 1 {
		t.Errorf("%d calls of DeletePod, want 1", store.deleted)
	}
}

// Receive returns an error for an event that it cannot use, and does not call the store.
func TestReceiveErrors(t *testing.T) {
	store := &recordingStore{}
	watcher := watchsource.NewWatcher(store, selectorOf(t, executors))
	must(t, watcher.Receive(added(pod("1", uid("u")))))
	for _, event := range []struct {
		name string
		err  error
		is   func(error) bool
	}{
		{name: "ERROR", err: watcher.Receive(errorEvent(expired)), is: apierrors.IsResourceExpired},
		{name: "no object", err: watcher.Receive(modifiedObject(nil)), is: errorIs(nil)},
		{name: "a status for a pod", err: watcher.Receive(modifiedObject(&metav1.Status{})), is: errorIs(nil)},
		{name: "an unknown type", err: watcher.Receive(unknownEvent(pod("1", uid("u")))), is: errorIs(nil)},
	} {
		if event.err == nil || !strings.HasPrefix(event.err.Error(), "watchsource: ") {
			t.Errorf("%s: Receive = %v, want an error that begins with \"watchsource: \"", event.name, event.err)
		}
	}
	if got := store.all(); len(got) != 1 {
		t.Errorf("the store received %q, want only the first event", got)
	}
}

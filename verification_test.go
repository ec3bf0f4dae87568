// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

const (
	verifyEvery = 5 * time.Minute
	// noticed is the documented time within which a lost event is noticed, and a second.
	noticed = verifyEvery + 71*time.Second

	lostLine        = `"msg"="Watch has lost events, listing"`
	notVerifiedLine = `"msg"="Verification failed, trying again"`
)

// isVerification reports whether a request is one of a verification.
func isVerification(r watchtest.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList")
}

// verifications returns the requests of verifications so far.
func verifications(server *watchtest.Server) []watchtest.Request {
	return slices.DeleteFunc(server.Requests(), func(r watchtest.Request) bool { return !isVerification(r) })
}

// observations records what an observer receives.
type observations struct {
	mu  sync.Mutex
	all []watchsource.Observation
}

func (o *observations) observe(seen watchsource.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, seen)
}

// errors returns the errors of observations of one kind.
func (o *observations) errors(kind watchsource.ObservationKind) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []string
	for _, seen := range o.all {
		if seen.Kind == kind && seen.Err != nil {
			found = append(found, seen.Err.Error())
		}
	}
	return found
}

// losses are changes whose events are lost, and what the source then says.
var losses = []struct {
	name   string
	events int // lost
	change func(*watchtest.Server)
	err    string
}{
	{
		name: "deleted", events: 1, err: "the watch has lost an event: pod jobs/exec-1 is gone",
		change: func(s *watchtest.Server) { s.Delete("jobs", "exec-1") },
	},
	{
		name: "added", events: 1, err: "the watch has lost an event: pod jobs/exec-4 has appeared",
		change: func(s *watchtest.Server) { s.Create(pod("4")) },
	},
	{
		name: "modified", events: 1, err: "the watch has lost an event: pod jobs/exec-1 has changed",
		change: func(s *watchtest.Server) { s.Update("jobs", "exec-1", phase(corev1.PodFailed)) },
	},
	{
		name: "has left the selection", events: 1, err: "the watch has lost an event: pod jobs/exec-2 is gone",
		change: func(s *watchtest.Server) { s.Update("jobs", "exec-2", label(watchsource.LabelRole, "other")) },
	},
	{
		name: "has entered the selection", events: 1, err: "the watch has lost an event: pod jobs/exec-foreign has appeared",
		change: func(s *watchtest.Server) {
			s.Update("jobs", "exec-foreign", label(watchsource.LabelRole, watchsource.RoleExecutor))
		},
	},
	{
		name: "replaced under its name", events: 2, err: "the watch has lost events of 2 pods, the first: pod jobs/exec-1 ",
		change: func(s *watchtest.Server) { s.Delete("jobs", "exec-1"); s.Create(pod("1", uid("new"))) },
	},
	{
		name: "several", events: 3, err: "the watch has lost events of 3 pods, the first: pod jobs/exec-1 has changed",
		change: func(s *watchtest.Server) {
			s.Delete("jobs", "exec-2")
			s.Create(pod("4"))
			s.Update("jobs", "exec-1", phase(corev1.PodFailed))
		},
	},
}

// podsBeforeLosses creates the pods of losses.
func podsBeforeLosses(server *watchtest.Server) {
	for _, id := range []string{"1", "2", "3"} {
		server.Create(pod(id, phase(corev1.PodRunning)))
	}
	server.Create(pod("foreign", label(watchsource.LabelRole, "other")))
}

// lose makes a change whose events are lost. The event after them is not lost. Without it a
// watch that ends would be resumed from a version before the loss.
func lose(server *watchtest.Server, events int, change func(*watchtest.Server)) {
	server.Strike(watchtest.Lose(events))
	change(server)
	server.Update("jobs", "exec-3", touch)
}

func deleteFirst(server *watchtest.Server) { server.Delete("jobs", "exec-1") }

// G1: an event that the server has lost (kubernetes issue 123072) is noticed and repaired with
// WithVerification, and stays lost without it.
func TestGuarantee1LostEvents(t *testing.T) {
	for _, loss := range losses {
		eachCaseInBubble(t, loss.name, func(t *testing.T, newSource modeltest.NewSource) {
			server, log, seen := watchtest.NewServer(), new(logLines), new(observations)
			podsBeforeLosses(server)
			store := watchsource.NewStore()
			source := startSource(t, newSource, server, store, watchsource.WithVerification(verifyEvery),
				watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(seen.observe))
			readers := []*readerCounts{countChanges(t, store), countChanges(t, store)}
			time.Sleep(time.Hour)
			before := source.Status()
			wantLines(t, log, 0, "msg")

			lose(server, loss.events, loss.change)
			time.Sleep(noticed)
			wantEqualToList(t, server, store)
			wantLines(t, log, 1, lostLine, loss.err)
			status := source.Status()
			if status.Err == nil || !strings.HasPrefix(status.Err.Error(), "watchsource: "+loss.err) {
				t.Errorf("Status.Err = %v, want %q", status.Err, loss.err)
			}
			if status.Relists != before.Relists+1 || status.Errors != before.Errors+1 || status.Stalls != 0 || status.Phase != watchsource.Watching {
				t.Errorf("%+v, want one relist and one error more than %+v, and the phase Watching", status, before)
			}
			if err := source.Healthy(3 * time.Minute); err != nil {
				t.Errorf("Healthy = %v, want nil", err)
			}
			if closed := seen.errors(watchsource.Closed); len(closed) != 1 || !strings.HasPrefix(closed[0], loss.err) {
				t.Errorf("the observer saw the errors %q, want one with %q", closed, loss.err)
			}

			time.Sleep(time.Hour)
			wantLines(t, log, 1, "msg")
			if again := source.Status(); again.Relists != status.Relists || again.Errors != status.Errors {
				t.Errorf("%d relists and %d errors an hour later, want %d and %d", again.Relists, again.Errors, status.Relists, status.Errors)
			}
			failed, gone := 0, 0
			if e, ok := store.Snapshot().Get("exec-1"); ok && e.State == watchsource.Failed {
				failed = 1
			}
			if strings.Contains(loss.err, "exec-1 is gone") {
				gone = 1
			}
			for _, reader := range readers {
				if reader.ended["exec-1"] != failed || gone > 0 && reader.deleted["exec-1"] != gone {
					t.Errorf("a reader saw %d ends and %d disappearances of exec-1, want %d and %d", reader.ended["exec-1"], reader.deleted["exec-1"], failed, gone)
				}
			}
		})
		eachCaseInBubble(t, loss.name+", without the option", func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			podsBeforeLosses(env.server)
			env.start()
			time.Sleep(time.Hour)
			before := names(env.store.Snapshot())
			lose(env.server, loss.events, loss.change)
			time.Sleep(24 * time.Hour)
			if after := names(env.store.Snapshot()); after != before || env.source.Healthy(3*time.Minute) != nil {
				t.Errorf("the store has %s, Healthy = %v; want %s and nil: then the test does not lose the event", after, env.source.Healthy(3*time.Minute), before)
			}
		})
	}
}

// If nothing is lost, a verification is one request, at the version that the source has, and
// changes nothing.
func TestVerificationOfAQuietCluster(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, log, seen := watchtest.NewServer(), new(logLines), new(observations)
		podsBeforeLosses(server)
		source := startSource(t, newSource, server, watchsource.NewStore(), watchsource.WithVerification(10*time.Minute),
			watchsource.WithNamespace("jobs"), watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(seen.observe))
		time.Sleep(time.Hour + time.Minute)
		requests := verifications(server)
		if len(requests) != 6 {
			t.Errorf("%d verifications in an hour, want 6: %v", len(requests), requests)
		}
		selector := server.Requests()[0].Options.LabelSelector
		for _, r := range requests {
			o := r.Options
			if r.Verb != watchtest.List || r.Namespace != "jobs" || o.LabelSelector != selector ||
				o.ResourceVersion != server.ResourceVersion() || o.ResourceVersionMatch != metav1.ResourceVersionMatchExact {
				t.Errorf("request %v with %+v, want a list of jobs with the selector %s at exactly %s", r, o, selector, server.ResourceVersion())
			}
		}
		if status := source.Status(); status.Lists != 1 || status.Errors != 0 || status.Err != nil {
			t.Errorf("%+v, want one list and no error", status)
		}
		if refused := seen.errors(watchsource.Refused); len(refused) > 0 {
			t.Errorf("the observer saw %q, want no error", refused)
		}
		wantLines(t, log, 0, "msg")
	})
}

// Changes while the list is on its way are no loss, whatever version the list has.
func TestVerificationOfABusyCluster(t *testing.T) {
	for name, exact := range map[string]bool{"exact list": true, "most recent list": false} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server, log := watchtest.NewServer(), new(logLines)
			store := watchsource.NewStore()
			source := startSource(t, newSource, server, store, watchsource.WithVerification(time.Minute), watchsource.WithLogger(log.logger(0)))
			if !exact {
				server.Inject(watchtest.Fault{If: isExact, Do: watchtest.Answer(apierrors.NewResourceExpired("too old"))})
			}
			server.Inject(watchtest.Fault{If: isVerification, Do: watchtest.Delay(700 * time.Millisecond)})           // before it
			server.Inject(watchtest.Fault{If: isVerification, After: 1, Do: watchtest.Delay(900 * time.Millisecond)}) // after it
			for step := range 14_400 {
				change(server, fmt.Sprint(step%20), step/20%5)
				time.Sleep(250 * time.Millisecond)
			}
			wantEqualToList(t, server, store)
			if status := source.Status(); status.Lists != 1 || status.Errors != 0 {
				t.Errorf("%d lists and %d errors (%v), want 1 and none", status.Lists, status.Errors, status.Err)
			}
			if n := len(verifications(server)); n < 55 {
				t.Errorf("%d verifications, want one a minute", n)
			}
			wantLines(t, log, 0, "msg")
		})
	}
}

// change makes a step in the life of a pod.
func change(server *watchtest.Server, id string, step int) {
	switch step {
	case 0:
		server.Create(pod(id, uid("")))
	case 1:
		server.Update("jobs", "exec-"+id, phase(corev1.PodRunning))
	case 2:
		server.Update("jobs", "exec-"+id, label(watchsource.LabelRole, "other"))
	case 3:
		server.Update("jobs", "exec-"+id, label(watchsource.LabelRole, watchsource.RoleExecutor))
	case 4:
		server.Delete("jobs", "exec-"+id)
	}
}

// touch changes a pod.
func touch(p *corev1.Pod) { p.Annotations = map[string]string{"note": time.Now().String()} }

func isExact(r watchtest.Request) bool {
	return r.Options.ResourceVersionMatch == metav1.ResourceVersionMatchExact
}

// A lost event is noticed although the server has no list of the version held.
func TestVerificationWithoutTheVersion(t *testing.T) {
	tooLarge := apierrors.NewTimeoutError("Too large resource version", 1)
	tooLarge.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	for name, fault := range map[string]watchtest.Fault{
		"expired":            {If: isExact, Do: watchtest.Answer(apierrors.NewResourceExpired("too old"))},
		"not reached":        {If: isExact, Do: watchtest.Answer(tooLarge)},
		"not supported":      {If: isExact, Do: watchtest.Answer(apierrors.NewBadRequest("resourceVersionMatch is unknown"))},
		"the second page":    {If: func(r watchtest.Request) bool { return r.Options.Continue != "" }, Do: watchtest.Answer(apierrors.NewResourceExpired("too old"))},
		"without a bookmark": {On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server, log := watchtest.NewServer(), new(logLines)
			podsBeforeLosses(server)
			for i := range 600 {
				server.Create(pod(fmt.Sprint("many-", i)))
			}
			server.Inject(fault)
			store := watchsource.NewStore()
			source := startSource(t, newSource, server, store, watchsource.WithVerification(verifyEvery), watchsource.WithLogger(log.logger(0)))
			time.Sleep(time.Hour)
			stalls := 0
			if name == "without a bookmark" {
				stalls = 1 // of the streaming list
			}
			if status := source.Status(); status.Lists != 1 || status.Errors != stalls {
				t.Fatalf("%d lists and %d errors (%v) although nothing was lost, want 1 and none", status.Lists, status.Errors, status.Err)
			}
			lose(server, 1, deleteFirst)
			time.Sleep(noticed + 70*time.Second)
			wantEqualToList(t, server, store)
			time.Sleep(time.Hour)
			wantLines(t, log, source.Status().Relists, lostLine, "exec-1 is gone")
		})
	}
}

// A verification that fails is an error in the status and for the observer, and is made again
// after the interval. The watch goes on, and the source is healthy.
func TestVerificationFails(t *testing.T) {
	for name, test := range map[string]struct {
		do  watchtest.Effect
		err string
	}{
		"forbidden": {
			do:  watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role"))),
			err: "list the metadata of pods in all namespaces: pods is forbidden: no role; grant the verbs list and watch",
		},
		"busy":                   {do: watchtest.Answer(apierrors.NewTooManyRequests("later", 20)), err: "list the metadata of pods in all namespaces: later"},
		"refused":                {do: watchtest.Refuse(), err: "list the metadata of pods in all namespaces: dial tcp: watchtest: connection refused"},
		"not answered":           {do: watchtest.Hang(), err: "list the metadata of pods in all namespaces: no answer within 1m0s"},
		"a body that ends early": {do: watchtest.Tear(), err: "list the metadata of pods in all namespaces: "},
		"no list":                {do: watchtest.SendRaw([]byte("null")), err: "list the metadata of pods in all namespaces: unexpected response from the API server"},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server, log, seen := watchtest.NewServer(), new(logLines), new(observations)
			podsBeforeLosses(server)
			store := watchsource.NewStore()
			source := startSource(t, newSource, server, store, watchsource.WithVerification(10*time.Minute),
				watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(seen.observe))
			lift := server.Inject(watchtest.Fault{If: isVerification, Do: test.do})
			for range 61 {
				server.Update("jobs", "exec-3", touch)
				time.Sleep(time.Minute)
				if err := source.Healthy(2 * time.Minute); err != nil {
					t.Fatalf("Healthy = %v, want nil", err)
				}
			}
			status := source.Status()
			if status.Lists != 1 || status.Phase != watchsource.Watching || status.Err == nil || !strings.HasPrefix(status.Err.Error(), "watchsource: "+test.err) {
				t.Errorf("%+v, want one list, the phase Watching and the error %q", status, test.err)
			}
			if refused := seen.errors(watchsource.Refused); len(refused) < 5 || len(refused) > 6 {
				t.Errorf("the observer saw %d errors in an hour, want one each ten minutes: %q", len(refused), refused)
			}
			wantLines(t, log, 1, notVerifiedLine, test.err)
			wantEqualToList(t, server, store)

			lift()
			lose(server, 1, deleteFirst)
			time.Sleep(12 * time.Minute)
			wantEqualToList(t, server, store)
			wantLines(t, log, 1, lostLine)
		})
	}
}

// A list has as many pages as a list of pods, and all of them are compared.
func TestVerificationInPages(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		for i := range 1201 {
			env.server.Create(pod(fmt.Sprintf("%04d", i)))
		}
		env.start(watchsource.WithVerification(verifyEvery))
		time.Sleep(noticed)
		if n := len(verifications(env.server)); n != 3 || env.source.Status().Lists != 1 {
			t.Errorf("%d requests and %d lists, want three pages and one list", n, env.source.Status().Lists)
		}
		env.server.Strike(watchtest.Lose(2))
		env.delete("0000")
		env.delete("1200")
		env.update("0001", touch)
		time.Sleep(noticed)
		env.wantEqualToList()
		if err := env.source.Status().Err; err == nil || !strings.Contains(err.Error(), "lost events of 2 pods, the first: pod jobs/exec-0000 is gone") {
			t.Errorf("Status.Err = %v, want two pods", err)
		}
	})
}

// G10: Stop ends a verification that is on its way, in each of its states.
func TestStopDuringAVerification(t *testing.T) {
	for name, fault := range map[string]watchtest.Fault{
		"not answered": {If: isVerification, Do: watchtest.Hang()},
		"slow":         {If: isVerification, Do: watchtest.Slow(1, time.Second)},
		"waiting":      {On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			podsBeforeLosses(server)
			server.Inject(fault)
			var stopped atomic.Bool
			source := newSource(watchsource.NewStore(), server.Client(), watchsource.WithVerification(verifyEvery), watchsource.WithObserver(func(o watchsource.Observation) {
				if stopped.Load() {
					t.Errorf("the observer saw %v after Stop", o.Kind)
				}
			}))
			start(t, source, "app")
			time.Sleep(verifyEvery + 50*time.Second)
			before := time.Now()
			source.Stop()
			stopped.Store(true)
			if took := time.Since(before); took > time.Second {
				t.Errorf("Stop took %v, want no wait for the verification", took)
			}
			time.Sleep(time.Hour)
		})
	}
}

// A store of the user receives the repair as a list.
func TestVerificationWithAUsersStore(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		podsBeforeLosses(server)
		store := new(recordingStore)
		startSource(t, newSource, server, store, watchsource.WithVerification(verifyEvery))
		time.Sleep(time.Hour)
		lose(server, 1, deleteFirst)
		time.Sleep(noticed)
		synctest.Wait()
		if got := strings.Join(store.all(), ", "); got != "replace exec-1 exec-2 exec-3, update exec-3, replace exec-2 exec-3" {
			t.Errorf("the store received %q, want the list again without exec-1", got)
		}
	})
}

// A store that blocks delays a verification, and a verification does not overlap with it.
func TestVerificationWithASlowStore(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		podsBeforeLosses(server)
		server.Inject(watchtest.Fault{If: isVerification, Do: watchtest.Refuse()})
		var calls sync.Mutex // fails the test by a deadlock report if it is held while time passes
		observer := func(watchsource.Observation) {
			if !calls.TryLock() {
				t.Error("two calls of the observer overlap")
				return
			}
			time.Sleep(time.Second)
			calls.Unlock()
		}
		source := startSource(t, newSource, server, slowStore{}, watchsource.WithVerification(5*time.Second), watchsource.WithObserver(observer))
		for range 200 {
			server.Update("jobs", "exec-3", touch)
			time.Sleep(3300 * time.Millisecond)
		}
		if status := source.Status(); status.Lists != 1 || status.Errors == 0 || status.Stalls != 0 {
			t.Errorf("%+v, want one list, errors and no stall", status)
		}
	})
}

// slowStore is a store whose calls take a second.
type slowStore struct{}

func (slowStore) UpdatePod(*corev1.Pod)         { time.Sleep(time.Second) }
func (slowStore) DeletePod(*corev1.Pod)         { time.Sleep(time.Second) }
func (slowStore) ReplaceSnapshot([]*corev1.Pod) { time.Sleep(time.Second) }

// Every client can verify: JSON, with a warning handler, wrapped, and behind a proxy that asks
// for whole pods in JSON.
func TestVerificationWithUnusualClients(t *testing.T) {
	for name, client := range map[string]func(*testing.T, *watchtest.Server) kubernetes.Interface{
		"protobuf":             func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.Client() },
		"JSON":                 func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.JSONClient() },
		"JSON through a proxy": jsonClient,
		"wrapped": func(_ *testing.T, server *watchtest.Server) kubernetes.Interface {
			return wrappedClient{server.Client()}
		},
		"warning handler": func(t *testing.T, server *watchtest.Server) kubernetes.Interface {
			config := server.Config()
			config.WarningHandler = rest.NoWarnings{}
			return clientFor(t, config)
		},
		"protobuf through a proxy that removes the kind": func(t *testing.T, server *watchtest.Server) kubernetes.Interface {
			config := server.Config()
			config.Wrap(func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					r = r.Clone(r.Context())
					r.Header.Set("Accept", "application/vnd.kubernetes.protobuf")
					return next.RoundTrip(r)
				})
			})
			return clientFor(t, config)
		},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			podsBeforeLosses(server)
			store := watchsource.NewStore()
			source := newSource(store, client(t, server), watchsource.WithVerification(verifyEvery))
			start(t, source, "app")
			defer source.Stop()
			time.Sleep(time.Hour)
			if status := source.Status(); status.Lists != 1 || status.Errors != 0 {
				t.Errorf("%d lists and %d errors (%v) although nothing was lost, want 1 and none", status.Lists, status.Errors, status.Err)
			}
			lose(server, 1, deleteFirst)
			time.Sleep(noticed)
			synctest.Wait()
			if got := names(store.Snapshot()); got != "exec-2=Running exec-3=Running" {
				t.Errorf("the store has %s, want exec-2 and exec-3", got)
			}
		})
	}
}

// With the fake clientset a verification compares with a list of pods.
func TestVerificationWithTheFakeClientset(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1", uid("1")), pod("2", uid("2")))
		var events *watch.FakeWatcher // of the last watch
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
			events = watch.NewFake()
			return true, events, nil
		})
		store := watchsource.NewStore()
		source := newSource(store, client, watchsource.WithVerification(10*time.Second))
		start(t, source, "app")
		defer source.Stop()
		events.Add(driver("app")) // as the watch of a fake does
		time.Sleep(time.Minute)
		if status := source.Status(); status.Lists != 1 || status.Errors != 0 {
			t.Errorf("%d lists and %d errors (%v) although nothing was lost, want 1 and none", status.Lists, status.Errors, status.Err)
		}
		remove(t, client, pod("1")) // without an event
		time.Sleep(10*time.Second + 140*time.Second)
		wantPods(t, store, "exec-2")
		if err := source.Status().Err; err == nil || !strings.Contains(err.Error(), "the watch has lost an event: pod jobs/exec-1 is gone") {
			t.Errorf("Status.Err = %v, want the lost deletion", err)
		}
	})
}

// A shared watch verifies all applications together, also those without a source.
func TestVerificationOfASharedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, log := watchtest.NewServer(), new(logLines)
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithVerification(verifyEvery), watchsource.WithLogger(log.logger(0)))
		var stores []*watchsource.Store
		for _, app := range []string{"a", "b", "c", "none"} {
			server.Create(podOf(app, "1"))
			server.Create(podOf(app, "2"))
			if app != "none" {
				store, _ := startShared(t, shared, app)
				stores = append(stores, store)
			}
		}
		time.Sleep(time.Hour + 5*time.Second)
		if n := len(verifications(server)); n != 11 && n != 12 {
			t.Errorf("%d verifications in an hour, want one each five minutes for all applications", n)
		}
		wantLines(t, log, 0, "msg")
		server.Strike(watchtest.Lose(2))
		server.Delete("jobs", "b-1")
		server.Update("jobs", "none-2", phase(corev1.PodFailed))
		server.Update("jobs", "a-1", touch)
		time.Sleep(noticed)
		for i, want := range [][]string{{"a-1", "a-2"}, {"b-2"}, {"c-1", "c-2"}} {
			wantPods(t, stores[i], want...)
		}
		wantLines(t, log, 1, lostLine, "events of 2 pods, the first: pod jobs/b-1 is gone")
		if status := shared.Status(); status.Relists != 1 || status.Err == nil {
			t.Errorf("%+v, want one relist and the error", status)
		}
	})
}

// A server that was put back to an earlier state is noticed by the version of its list.
func TestVerificationNoticesAnEarlierHistory(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, earlier := watchtest.NewServer(), watchtest.NewServer()
		podsBeforeLosses(server)
		var restored atomic.Bool
		config := server.Config()
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if restored.Load() {
					return earlier.RoundTrip(r)
				}
				return next.RoundTrip(r)
			})
		})
		store := watchsource.NewStore()
		source := newSource(store, clientFor(t, config), watchsource.WithVerification(time.Minute))
		start(t, source, "app")
		defer source.Stop()
		restored.Store(true)
		time.Sleep(time.Minute + 71*time.Second) // less than the shortest watch
		wantPods(t, store)
		if err := source.Status().Err; err == nil || !strings.Contains(err.Error(), "gone back to an earlier version") {
			t.Errorf("Status.Err = %v, want that the server has gone back", err)
		}
	})
}

// A verification that a short watch interrupts is made on the next one.
func TestVerificationWithShortWatches(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource, watchtest.WithBookmarkInterval(10*time.Second))
		podsBeforeLosses(env.server)
		env.start(watchsource.WithVerification(verifyEvery))
		ticker := time.NewTicker(25 * time.Second)
		defer ticker.Stop()
		ctx := t.Context()
		go func() {
			for {
				select {
				case <-ticker.C:
					env.server.Strike(watchtest.Cut())
				case <-ctx.Done():
					return
				}
			}
		}()
		env.server.Inject(watchtest.Fault{If: isVerification, Do: watchtest.Delay(5 * time.Second)})
		time.Sleep(time.Hour)
		if n := len(verifications(env.server)); n < 11 || env.source.Status().Lists != 1 {
			t.Errorf("%d verifications and %d lists in an hour, want one each five minutes and one list", n, env.source.Status().Lists)
		}
		lose(env.server, 1, deleteFirst)
		time.Sleep(noticed)
		env.wantEqualToList()
	})
}

// A verification also notices an event that was lost just before it and after which nothing has
// come.
func TestVerificationOfTheLastEvent(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		podsBeforeLosses(env.server)
		env.start(watchsource.WithVerification(130 * time.Second))
		time.Sleep(129 * time.Second)
		env.server.Strike(watchtest.Lose(1))
		env.delete("1")
		time.Sleep(71 * time.Second)
		env.wantEqualToList()
		if n := len(verifications(env.server)); n != 1 || env.source.Status().Relists != 1 {
			t.Errorf("%d verifications and %d relists, want one and one", n, env.source.Status().Relists)
		}
	})
}

// G5: a watch that a list shows to be silent is resumed, not replaced by a list.
func TestVerificationOfASilentWatch(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, log := watchtest.NewServer(), new(logLines)
		podsBeforeLosses(server)
		store := watchsource.NewStore()
		source := startSource(t, newSource, server, store, watchsource.WithVerification(2*time.Minute),
			watchsource.WithStallTimeout(time.Hour), watchsource.WithLogger(log.logger(0)))
		server.Strike(watchtest.Silence())
		server.Delete("jobs", "exec-1")
		time.Sleep(2*time.Minute + 141*time.Second) // less than the shortest watch
		wantEqualToList(t, server, store)
		status := source.Status()
		if status.Lists != 1 || status.Stalls != 1 || status.Err == nil || !strings.Contains(status.Err.Error(), "the watch went silent: after 1m10s it lacks what a list shows: pod jobs/exec-1 is gone") {
			t.Errorf("%+v, want a stall that names exec-1, and one list", status)
		}
		wantLines(t, log, 0, lostLine)
	})
}

// An event that each watch loses, of a server without bookmarks, costs a list after the second
// verification.
func TestVerificationOfAnEventThatEachWatchLoses(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, log := watchtest.NewServer(), new(logLines)
		podsBeforeLosses(server)
		server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()})
		store := watchsource.NewStore()
		startSource(t, newSource, server, store, watchsource.WithVerification(verifyEvery), watchsource.WithLogger(log.logger(0)))
		time.Sleep(time.Hour)
		server.Strike(watchtest.Lose(1))
		server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Lose(1)})
		server.Delete("jobs", "exec-1")
		time.Sleep(2*noticed + 2*71*time.Second)
		wantEqualToList(t, server, store)
		wantLines(t, log, 1, lostLine, "exec-1 is gone")
	})
}

// An interval that is not positive turns verification off, and a very short one counts as five seconds.
func TestVerificationInterval(t *testing.T) {
	for every, want := range map[time.Duration]int{0: 0, -time.Hour: 0, time.Nanosecond: 12, 5 * time.Second: 12, 20 * time.Second: 3} {
		eachCaseInBubble(t, every.String(), func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			podsBeforeLosses(env.server)
			env.start(watchsource.WithVerification(time.Second), watchsource.WithVerification(every))
			for range 610 {
				env.update("3", touch)
				time.Sleep(100 * time.Millisecond)
			}
			if n := len(verifications(env.server)); n < want-1 || n > want {
				t.Errorf("%d verifications in a minute, want %d", n, want)
			}
		})
	}
}

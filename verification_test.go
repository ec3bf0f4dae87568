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
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// If nothing is lost, a verification is one request, at the version that the source has, and
// changes nothing.
func TestVerificationOfAQuietCluster(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		log, seen := new(logLines), new(observations)
		podsBeforeLosses(env.server)
		env.start(watchsource.WithVerification(10*time.Minute),
			watchsource.WithNamespace("jobs"), watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(seen.observe))
		time.Sleep(68 * time.Minute) // six times the interval and the wait for a bookmark
		requests := verifications(env.server)
		if len(requests) != 6 {
			t.Errorf("%d verifications, want 6: %v", len(requests), requests)
		}
		selector := env.server.Requests()[0].Options.LabelSelector
		for _, r := range requests {
			o := r.Options
			if r.Verb != watchtest.List || r.Namespace != "jobs" || o.LabelSelector != selector ||
				o.ResourceVersion != env.server.ResourceVersion() || o.ResourceVersionMatch != metav1.ResourceVersionMatchExact {
				t.Errorf("request %v with %+v, want a list of jobs with the selector %s at exactly %s", r, o, selector, env.server.ResourceVersion())
			}
		}
		if status := env.source.Status(); status.Lists != 1 || status.Errors != 0 || status.Err != nil {
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
			env := newEnv(t, newSource)
			log := new(logLines)
			env.start(watchsource.WithVerification(time.Minute), watchsource.WithLogger(log.logger(0)))
			if !exact {
				env.server.Inject(watchtest.Fault{If: isExact, Do: watchtest.Answer(apierrors.NewResourceExpired("too old"))})
			}
			env.server.Inject(watchtest.Fault{If: isVerification, Do: watchtest.Delay(700 * time.Millisecond)})           // before it
			env.server.Inject(watchtest.Fault{If: isVerification, After: 1, Do: watchtest.Delay(900 * time.Millisecond)}) // after it
			for step := range 14_400 {
				change(env.server, fmt.Sprint(step%20), step/20%5)
				time.Sleep(250 * time.Millisecond)
			}
			env.wantEqualToList()
			if status := env.source.Status(); status.Lists != 1 || status.Errors != 0 {
				t.Errorf("%d lists and %d errors (%v), want 1 and none", status.Lists, status.Errors, status.Err)
			}
			if n := len(verifications(env.server)); n < 55 {
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
		"expired":       {If: isExact, Do: watchtest.Answer(apierrors.NewResourceExpired("too old"))},
		"not reached":   {If: isExact, Do: watchtest.Answer(tooLarge)},
		"not supported": {If: isExact, Do: watchtest.Answer(apierrors.NewBadRequest("resourceVersionMatch is unknown"))},
		"the second page": {
			If: func(r watchtest.Request) bool { return r.Options.Continue != "" },
			Do: watchtest.Answer(apierrors.NewResourceExpired("too old")),
		},
		"without a bookmark": {On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			log := new(logLines)
			podsBeforeLosses(env.server)
			for i := range 600 {
				env.server.Create(pod(fmt.Sprint("many-", i)))
			}
			env.server.Inject(fault)
			env.start(watchsource.WithVerification(verifyEvery), watchsource.WithLogger(log.logger(0)))
			time.Sleep(time.Hour)
			stalls := 0
			if name == "without a bookmark" {
				stalls = 1 // of the streaming list
			}
			if status := env.source.Status(); status.Lists != 1 || status.Errors != stalls {
				t.Fatalf("%d lists and %d errors (%v) although nothing was lost, want 1 and none", status.Lists, status.Errors, status.Err)
			}
			lose(env.server, 1, deleteFirst)
			time.Sleep(noticed + 70*time.Second)
			env.wantEqualToList()
			time.Sleep(time.Hour)
			wantLines(t, log, env.source.Status().Relists, lostLine, "exec-1 is gone")
		})
	}
}

// verificationFaults are the cases of TestVerificationFails.
var verificationFaults = map[string]struct {
	do  watchtest.Effect
	err string
}{
	"forbidden": {
		do:  watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role"))),
		err: "list the metadata of pods in all namespaces: pods is forbidden: no role; grant the verbs list and watch",
	},
	"busy": {
		do:  watchtest.Answer(apierrors.NewTooManyRequests("later", 20)),
		err: "list the metadata of pods in all namespaces: later",
	},
	"refused": {
		do: watchtest.Refuse(), err: "list the metadata of pods in all namespaces: dial tcp: watchtest: connection refused",
	},
	"not answered":           {do: watchtest.Hang(), err: "list the metadata of pods in all namespaces: no answer within 1m0s"},
	"a body that ends early": {do: watchtest.Tear(), err: "list the metadata of pods in all namespaces: "},
	"no list": {
		do:  watchtest.SendRaw([]byte("null")),
		err: "list the metadata of pods in all namespaces: unexpected response from the API server",
	},
}

// A verification that fails is an error in the status and for the observer, and is made again
// after the interval. The watch goes on, and the source is healthy.
func TestVerificationFails(t *testing.T) {
	for name, test := range verificationFaults {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			log, seen := new(logLines), new(observations)
			podsBeforeLosses(env.server)
			env.start(watchsource.WithVerification(10*time.Minute),
				watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(seen.observe))
			lift := env.server.Inject(watchtest.Fault{If: isVerification, Do: test.do})
			for range 61 {
				env.update("3", touch)
				time.Sleep(time.Minute)
				if err := env.source.Healthy(2 * time.Minute); err != nil {
					t.Fatalf("Healthy = %v, want nil", err)
				}
			}
			status := env.source.Status()
			if status.Lists != 1 || status.Phase != watchsource.Watching || status.Err == nil || !strings.HasPrefix(status.Err.Error(), "watchsource: "+test.err) {
				t.Errorf("%+v, want one list, the phase Watching and the error %q", status, test.err)
			}
			if refused := seen.errors(watchsource.Refused); len(refused) < 5 || len(refused) > 6 {
				t.Errorf("the observer saw %d errors in an hour, want one each ten minutes: %q", len(refused), refused)
			}
			wantLines(t, log, 1, notVerifiedLine, test.err)
			env.wantEqualToList()

			lift()
			lose(env.server, 1, deleteFirst)
			time.Sleep(12 * time.Minute)
			env.wantEqualToList()
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
		if err := env.source.Status().Err; err == nil ||
			!strings.Contains(err.Error(), "lost events of 2 pods, the first: pod jobs/exec-0000 is gone") {
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

// A server that was put back to an earlier state is noticed by the version of its list.
func TestVerificationNoticesAnEarlierHistory(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		earlier := watchtest.NewServer()
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

// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Start: how long it takes, and how it fails.

// startErrorCases are the cases of TestStartErrors.
var startErrorCases = []struct {
	name   string
	option []watchtest.Option
	fault  watchtest.Fault
	is     func(error) bool
	says   string
	within time.Duration
}{
	{
		name: "forbidden", fault: watchtest.Fault{Do: watchtest.Answer(forbidden)}, is: apierrors.IsForbidden,
		says: "grant the verbs list and watch on the resource pods with a Role", within: time.Second,
	},
	{
		name: "list forbidden", option: []watchtest.Option{watchtest.WithoutStreamingLists()},
		fault: watchtest.Fault{On: watchtest.List, Do: watchtest.Answer(forbidden)}, is: apierrors.IsForbidden,
		says: "grant the verbs list and watch", within: time.Second,
	},
	{
		name: "watch forbidden", option: []watchtest.Option{watchtest.WithoutStreamingLists()},
		fault: watchtest.Fault{On: watches, Do: watchtest.Answer(forbidden)}, is: apierrors.IsForbidden,
		says: "grant the verbs list and watch", within: time.Second,
	},
	{
		name: "unauthorized", fault: watchtest.Fault{Do: watchtest.Answer(unauthorized)}, is: apierrors.IsUnauthorized,
		says: "check the token", within: time.Second,
	},
	{
		name: "connection refused", fault: watchtest.Fault{Do: watchtest.Refuse()}, is: errorIs(syscall.ECONNREFUSED),
		says: "check the address", within: 8 * time.Second,
	},
	{
		name: "connection closed", fault: watchtest.Fault{Do: watchtest.Break(io.EOF)}, is: errorIs(io.EOF), says: "EOF",
		within: 35 * time.Second,
	},
	{
		name: "never answers", fault: watchtest.Fault{Do: watchtest.Hang()}, is: errorIs(context.DeadlineExceeded),
		says: "no complete view within 30s", within: 31 * time.Second,
	},
	{
		name: "silent", fault: watchtest.Fault{Do: watchtest.Silence()}, is: errorIs(context.DeadlineExceeded),
		says: "no complete view within 30s", within: 31 * time.Second,
	},
	{
		name: "busy for ever", fault: watchtest.Fault{Do: watchtest.Answer(busy)}, is: apierrors.IsTimeout,
		says: "no complete view within 30s", within: 31 * time.Second,
	},
}

func TestStartErrors(t *testing.T) {
	for _, test := range startErrorCases {
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

// The errors of Start and Status contain the message of a busy server, also after retries.
func TestErrorsContainTheServersMessage(t *testing.T) {
	for name, json := range map[string]bool{"protobuf": false, "JSON": true} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			client := server.Client()
			if json {
				client = server.JSONClient()
			}
			source := newSource(watchsource.NewStore(), client)
			lift := server.Inject(watchtest.Fault{Do: watchtest.Answer(busy)})
			err := source.Start("app")
			if !apierrors.IsTooManyRequests(err) || !apierrors.IsTimeout(err) ||
				!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "come back later") {
				t.Errorf("Start = %v, want a 429 that says \"come back later\" and a timeout", err)
			}
			lift()
			start(t, source, "app")
			defer source.Stop()
			lift = server.Inject(watchtest.Fault{Do: watchtest.Answer(busy)})
			server.Strike(watchtest.Reset())
			time.Sleep(time.Second)
			if got := source.Status(); !apierrors.IsTooManyRequests(got.Err) || got.Phase != watchsource.Retrying {
				t.Errorf("phase %v, error %v, want Retrying and a 429", got.Phase, got.Err)
			}
			lift()
			time.Sleep(25 * time.Second)
			if got := source.Status(); got.Phase != watchsource.Watching {
				t.Errorf("phase %v, error %v, want Watching", got.Phase, got.Err)
			}
		})
	}
}

// Start retries a few times if the server closes the connection before it responds, as a
// restarting server does.
func TestStartRepeatsABrokenConnection(t *testing.T) {
	for times, fails := range map[int]bool{1: false, 5: false, 0: true} {
		eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			server.Inject(watchtest.Fault{Times: times, Do: watchtest.Break(io.EOF)})
			source := newSource(watchsource.NewStore(), server.Client())
			defer source.Stop()
			began := time.Now()
			err := source.Start("app")
			if (err != nil) != fails || fails && !errors.Is(err, io.EOF) {
				t.Errorf("after %d broken connections (0: all) Start = %v, want an error: %v", times, err, fails)
			}
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("Start took %v, want at most 25s", took)
			}
		})
	}
}

func TestSecondStartKeepsTheFirstWatch(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		store := watchsource.NewStore()
		source := newSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		requests := len(client.Actions())
		for _, appID := range []string{"app", "other"} {
			if err := source.Start(appID); !errors.Is(err, watchsource.ErrAlreadyStarted) {
				t.Errorf("second Start(%q) = %v, want ErrAlreadyStarted", appID, err)
			}
		}
		if got := len(client.Actions()); got != requests {
			t.Errorf("%d requests after the second Start, want %d as before", got, requests)
		}
		create(t, client, pod("1"))
		wantNames(t, store, "exec-1=Pending")
		if got := source.Status().AppID; got != "app" {
			t.Errorf("application %q in Status, want app", got)
		}
	})
}

var noRights = apierrors.NewForbidden(podsResource.GroupResource(), "", errors.New("no rights"))

// serverMessages are the cases of TestStartFailsWithTheServersMessage.
var serverMessages = []struct {
	name      string
	verb      string
	err       error
	namespace string
	is        func(error) bool
	says      []string
}{
	{
		name: "list forbidden", verb: "list", err: noRights, namespace: "jobs", is: apierrors.IsForbidden,
		says: []string{`list pods in namespace "jobs"`, "grant the verbs list and watch on the resource pods with a Role"},
	},
	{
		name: "list forbidden everywhere", verb: "list", err: noRights, is: apierrors.IsForbidden,
		says: []string{"list pods in all namespaces", "ClusterRole", "WithNamespace"},
	},
	{
		name: "watch forbidden though the list worked", verb: "watch", err: noRights, namespace: "jobs",
		is: apierrors.IsForbidden, says: []string{`watch pods in namespace "jobs"`, "grant the verbs list and watch"},
	},
	{
		name: "unauthorized", verb: "list", err: apierrors.NewUnauthorized("who are you"), namespace: "jobs",
		is: apierrors.IsUnauthorized, says: []string{"check the token"},
	},
	{
		name: "internal error", verb: "list", err: apierrors.NewInternalError(errors.New("boom")), namespace: "jobs",
		is: apierrors.IsInternalError, says: []string{"boom"},
	},
	{
		name: "no API error", verb: "watch", err: errors.New("a plug was pulled"), namespace: "jobs",
		is: func(err error) bool { return true }, says: []string{"watch pods", "a plug was pulled"},
	},
}

func TestStartFailsWithTheServersMessage(t *testing.T) {
	for _, test := range serverMessages {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			client := fake.NewClientset(pod("1"))
			broken := true
			client.PrependReactor(test.verb, "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
				return broken, nil, test.err
			})
			client.PrependWatchReactor("pods", func(action k8stesting.Action) (bool, watch.Interface, error) {
				return broken && test.verb == "watch", nil, test.err
			})
			store := &recordingStore{}
			source := newSource(store, client, watchsource.WithNamespace(test.namespace))
			began := time.Now()
			err := source.Start("app")
			if err == nil || !test.is(err) || !errors.Is(err, test.err) {
				t.Fatalf("Start = %v, want an error that wraps %v", err, test.err)
			}
			for _, part := range append(test.says, "watchsource: start: ") {
				if strings.Count(err.Error(), part) != 1 {
					t.Errorf("the error is %q, want %q in it once", err, part)
				}
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("Start took %v, want at most 1s", took)
			}
			if calls := store.all(); len(calls) > 0 {
				t.Errorf("the store received %q, want no calls", calls)
			}
			if got := source.Status().Phase; got != watchsource.Stopped {
				t.Errorf("phase %v, want Stopped", got)
			}

			broken = false
			start(t, source, "app")
			source.Stop()
			if calls := store.all(); len(calls) != 1 || calls[0] != "replace exec-1" {
				t.Errorf("the store received %q, want [\"replace exec-1\"]", calls)
			}
		})
	}
}

// hangingClient returns a client whose lists block until release is closed. They ignore
// their context.
func hangingClient(release <-chan struct{}) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
		<-release
		return false, nil, nil
	})
	return client
}

func TestStartTimeout(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		release := make(chan struct{})
		defer close(release)
		source := newSource(watchsource.NewStore(), hangingClient(release), watchsource.WithStartTimeout(5*time.Second))
		began := time.Now()
		err := source.Start("app")
		if !errors.Is(err, context.DeadlineExceeded) || !apierrors.IsTimeout(err) {
			t.Errorf("Start = %v, want a timeout", err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("Start took %v, want 5s to 6s", took)
		}
	})
}

// If Start times out after the first call of the store, it has succeeded: a Start that
// fails must not have called the store.
func TestStartTimeoutAfterTheFirstList(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		store := &recordingStore{block: make(chan struct{})}
		time.AfterFunc(time.Minute, func() { close(store.block) })
		client := fake.NewClientset()
		source := newSource(store, client, watchsource.WithStartTimeout(5*time.Second))
		start(t, source, "app")
		create(t, client, pod("1"))
		synctest.Wait()
		source.Stop()
		want := []string{"replace", "update exec-1"}
		if got := store.all(); !slices.Equal(got, want) {
			t.Errorf("the store received %q, want %q", got, want)
		}
	})
}

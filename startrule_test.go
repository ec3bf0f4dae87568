// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// A newStarted returns a source of one kind.
type newStarted func(t *testing.T, server *watchtest.Server, store watchsource.SnapshotsStore, options ...watchsource.Option) *watchsource.WatchSnapshotSource

// startKinds are the sources whose Start makes a request: one with its own watch, the first
// of a shared watch, and a source that starts after the shared watch has opened.
var startKinds = map[string]newStarted{
	"own watch": func(t *testing.T, server *watchtest.Server, store watchsource.SnapshotsStore, options ...watchsource.Option) *watchsource.WatchSnapshotSource {
		return watchsource.NewWatchSnapshotSource(store, server.Client(), append(options, watchsource.WithNamespace("jobs"))...)
	},
	"shared watch": func(t *testing.T, server *watchtest.Server, store watchsource.SnapshotsStore, options ...watchsource.Option) *watchsource.WatchSnapshotSource {
		return watchsource.NewSharedWatch(server.Client(), append(options, watchsource.WithNamespace("jobs"))...).Source(store)
	},
	"late source": func(t *testing.T, server *watchtest.Server, store watchsource.SnapshotsStore, options ...watchsource.Option) *watchsource.WatchSnapshotSource {
		shared := watchsource.NewSharedWatch(server.Client(), append(options, watchsource.WithNamespace("jobs"))...)
		startShared(t, shared, "first")
		return shared.Source(store)
	},
}

// The errors of Go's HTTP/2 client have types that are not exported, and text only.
var (
	errGoAway = errors.New("http2: Transport received Server's graceful shutdown GOAWAY")
	errStream = errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer")
)

// broken is the effect of a connection that cannot be opened.
func broken(err error) watchtest.Effect { return watchtest.Break(dial(err)) }

// startFaults are the cases of TestErrorsThatEndStart.
var startFaults = []struct {
	name string
	do   watchtest.Effect
	// survives is the number of errors in a row after which Start still succeeds, -1 for any number.
	survives int
	is       func(error) bool
}{
	{name: "unauthorized", do: watchtest.Answer(unauthorized), survives: 1, is: apierrors.IsUnauthorized},
	{name: "forbidden", do: watchtest.Answer(forbidden), survives: 0, is: apierrors.IsForbidden},
	{name: "forbidden by a gateway", do: watchtest.Answer(page(403)), survives: 0, is: apierrors.IsForbidden},
	{name: "not found", do: watchtest.Answer(page(404)), survives: 0, is: apierrors.IsNotFound},
	{name: "internal error", do: watchtest.Answer(internal), survives: 0, is: apierrors.IsInternalError},
	{name: "refused", do: watchtest.Refuse(), survives: 6, is: errorIs(syscall.ECONNREFUSED)},
	{name: "no route", do: broken(syscall.EHOSTUNREACH), survives: 6, is: errorIs(syscall.EHOSTUNREACH)},
	{name: "no network", do: broken(syscall.ENETUNREACH), survives: 6, is: errorIs(syscall.ENETUNREACH)},
	{name: "reset", do: watchtest.Reset(), survives: 6, is: errorIs(syscall.ECONNRESET)},
	{name: "closed", do: watchtest.Break(io.EOF), survives: 6, is: errorIs(io.EOF)},
	{name: "a broken pipe", do: broken(syscall.EPIPE), survives: 6, is: errorIs(syscall.EPIPE)},
	{name: "an aborted connection", do: broken(syscall.ECONNABORTED), survives: 6, is: errorIs(syscall.ECONNABORTED)},
	{name: "a server that shuts down", do: watchtest.Break(errGoAway), survives: 6, is: errorIs(errGoAway)},
	{name: "a stream that a proxy resets", do: watchtest.Break(errStream), survives: 6, is: errorIs(errStream)},
	{name: "a gateway that does not reach the server", do: watchtest.Answer(page(502)), survives: 6, is: apierrors.IsInternalError},
	{
		name: "a DNS that does not answer", do: broken(&net.DNSError{Err: "server misbehaving", IsTemporary: true}),
		survives: 6, is: errorAs[*net.DNSError],
	},
	{name: "an unknown host", do: broken(&net.DNSError{Err: "no such host", IsNotFound: true}), survives: 0, is: errorAs[*net.DNSError]},
	{name: "a wrong certificate", do: watchtest.Break(x509.UnknownAuthorityError{}), survives: 0, is: errorAs[x509.UnknownAuthorityError]},
	{name: "starting up", do: watchtest.Answer(apierrors.NewServiceUnavailable("starting up")), survives: -1},
	{name: "busy", do: watchtest.Answer(apierrors.NewTooManyRequests("later", 1)), survives: -1},
}

// One rule says which errors end a Start, and after how many of them.
func TestErrorsThatEndStart(t *testing.T) {
	for _, test := range startFaults {
		for kind, newSource := range startKinds {
			inBubble(t, test.name+"/"+kind, func(t *testing.T) {
				if test.survives < 0 {
					if err := startAfter(t, newSource, test.do, 8); err != nil {
						t.Errorf("Start after 8 errors = %v, want nil", err)
					}
					return
				}
				if err := startAfter(t, newSource, test.do, test.survives); err != nil {
					t.Errorf("Start after %d errors = %v, want nil", test.survives, err)
				}
				err := startAfter(t, newSource, test.do, test.survives+1)
				if err == nil || !test.is(err) || errorIs(context.DeadlineExceeded)(err) {
					t.Errorf("Start after %d errors = %v, want the error of the requests", test.survives+1, err)
				}
			})
		}
	}
}

// startAfter starts and stops a source whose first lists fail.
func startAfter(t *testing.T, newSource newStarted, do watchtest.Effect, times int) error {
	t.Helper()
	server := watchtest.NewServer(watchtest.WithoutStreamingLists())
	server.Create(pod("1"))
	store := watchsource.NewStore()
	source := newSource(t, server, store, watchsource.WithStartTimeout(2*time.Minute))
	if times > 0 {
		defer server.Inject(watchtest.Fault{On: watchtest.List, Times: times, Do: do})()
	}
	before := server.Count(watchtest.List)
	err := source.Start("app")
	defer source.Stop()
	if n := server.Count(watchtest.List) - before; err != nil && n != times {
		t.Errorf("Start made %d lists, want %d", n, times)
	}
	if err == nil {
		wantNames(t, store, "exec-1=Pending")
	}
	return err
}

// Only requests in a row count: after an answer of a server that is starting up the count
// begins at 0.
func TestStartCountsRequestsInARow(t *testing.T) {
	for kind, newSource := range startKinds {
		inBubble(t, kind, func(t *testing.T) {
			server := watchtest.NewServer(watchtest.WithoutStreamingLists())
			server.Create(pod("1"))
			source := newSource(t, server, watchsource.NewStore(), watchsource.WithStartTimeout(10*time.Minute))
			for _, fault := range []watchtest.Fault{
				{Times: 6, Do: watchtest.Refuse()},
				{Times: 1, Do: watchtest.Answer(apierrors.NewServiceUnavailable("starting up"))},
				{Times: 6, Do: watchtest.Refuse()},
			} {
				fault.On = watchtest.List
				server.Inject(fault)
			}
			start(t, source, "app")
			source.Stop()
		})
	}
}

// The observer is not shown that a request waits for its answer.
func TestObserverOfAStart(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer(watchtest.WithoutStreamingLists())
		var kinds []watchsource.ObservationKind
		source := newSource(watchsource.NewStore(), server.Client(), watchsource.WithObserver(func(o watchsource.Observation) {
			kinds = append(kinds, o.Kind)
		}))
		start(t, source, "app")
		source.Stop()
		if want := []watchsource.ObservationKind{watchsource.Listed, watchsource.Opened, watchsource.Closed}; !slices.Equal(kinds, want) {
			t.Errorf("the observer received %v, want %v", kinds, want)
		}
	})
}

// renewingTransport has a credential that has expired. It takes another after the first 401, as
// client-go does with the credentials of an exec plugin.
type renewingTransport struct {
	next http.RoundTripper

	mu      sync.Mutex
	renewed bool
}

func (r *renewingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	response, err := r.next.RoundTrip(request)
	if r.renewed || err != nil {
		return response, err
	}
	r.renewed = true
	response.Body.Close()
	return answerUnauthorized(request)
}

func answerUnauthorized(request *http.Request) (*http.Response, error) {
	server := watchtest.NewServer()
	server.Inject(watchtest.Fault{Do: watchtest.Answer(unauthorized)})
	return server.RoundTrip(request)
}

// A credential that client-go renews after a 401 does not make Start fail.
func TestStartAfterARenewedCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		config := server.Config()
		config.Transport = &renewingTransport{next: config.Transport}
		store := watchsource.NewStore()
		source := watchsource.NewWatchSnapshotSource(store, clientFor(t, config))
		start(t, source, "app")
		defer source.Stop()
		wantNames(t, store, "exec-1=Pending")
		if got := source.Status(); !apierrors.IsUnauthorized(got.Err) || got.Errors != 1 {
			t.Errorf("%d errors and Err = %v in Status, want the one 401", got.Errors, got.Err)
		}
	})
}

// A Start waits as long as the server asks it to, also for the list of a late source.
func TestStartHonoursRetryAfter(t *testing.T) {
	for kind, newSource := range startKinds {
		inBubble(t, kind, func(t *testing.T) {
			server := watchtest.NewServer(watchtest.WithoutStreamingLists())
			server.Create(pod("1"))
			source := newSource(t, server, watchsource.NewStore())
			before := server.Count(watchtest.List)
			server.Inject(watchtest.Fault{On: watchtest.List, Times: 1, Do: watchtest.Answer(busy)})
			began := time.Now()
			start(t, source, "app")
			defer source.Stop()
			if took := time.Since(began); took < 20*time.Second {
				t.Errorf("Start took %v, want at least the 20s of the server", took)
			}
			if n := server.Count(watchtest.List) - before; n != 2 {
				t.Errorf("%d lists, want 2", n)
			}
		})
	}
}

// The error of a Start that runs out of time names the request that was not answered.
func TestStartTimeoutNamesTheRequest(t *testing.T) {
	for kind, newSource := range startKinds {
		inBubble(t, kind, func(t *testing.T) {
			server := watchtest.NewServer(watchtest.WithoutStreamingLists())
			server.Create(podOf("app", "1"))
			source := newSource(t, server, watchsource.NewStore())
			if kind == "late source" {
				server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Hang()})
				startError{
					is: isTimeout, says: []string{`list pods in namespace "jobs": no answer`}, not: []string{"proxy_http_version"},
				}.check(t, source.Start("app"))
				return
			}
			server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Hang()})
			startError{
				is:   isTimeout,
				says: []string{`watch pods in namespace "jobs": no answer`, "lists are answered and watches are not"},
			}.check(t, source.Start("app"))
		})
	}
}

// All sources that start on a shared watch get the error that names the cause.
func TestSharedWatchStartTimeoutOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.Hang()})
		shared := watchsource.NewSharedWatch(server.Client())
		var starting sync.WaitGroup
		for _, app := range []string{"one", "two", "three"} {
			starting.Go(func() {
				err := shared.Source(watchsource.NewStore()).Start(app)
				if err == nil || !strings.Contains(err.Error(), "lists are answered and watches are not") {
					t.Errorf("Start(%q) = %v, want an error that says that watches are not answered", app, err)
				}
			})
		}
		starting.Wait()
	})
}

// The error of the version check says that it is one, and names the namespace in which the
// check lists.
func TestErrorOfTheVersionCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		var errs []string
		source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), server.Client(), watchsource.WithObserver(func(o watchsource.Observation) {
			if o.Kind == watchsource.Refused {
				errs = append(errs, o.Err.Error())
			}
		}))
		start(t, source, "app")
		defer source.Stop()
		server.Inject(watchtest.Fault{On: watchtest.List, Times: 1, Do: watchtest.Refuse()})
		server.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want := `ask for the version in namespace "default": `
		if len(errs) != 2 || !strings.HasPrefix(errs[1], want) {
			t.Errorf("the observer received %q, want a second error that begins with %q", errs, want)
		}
		for _, err := range errs {
			if strings.Contains(err, "/api/v1") {
				t.Errorf("the observer received %q, want no URL in it", err)
			}
		}
		if status := source.Status().Err.Error(); strings.Contains(status, "/api/v1") {
			t.Errorf("Status.Err = %q, want no URL in it", status)
		}
	})
}

// A missing right ends a Start that finds the shared watch interrupted. If the server is not
// reached, Start waits for the watch.
func TestStartOnAnInterruptedWatch(t *testing.T) {
	for name, test := range map[string]struct {
		do watchtest.Effect
		is func(error) bool
		// timeout says that the watch may come back until then.
		timeout bool
	}{
		"unauthorized": {do: watchtest.Answer(unauthorized), is: apierrors.IsUnauthorized},
		"forbidden":    {do: watchtest.Answer(forbidden), is: apierrors.IsForbidden},
		"refused":      {do: watchtest.Refuse(), is: errorIs(syscall.ECONNREFUSED), timeout: true},
	} {
		inBubble(t, name, func(t *testing.T) {
			server := watchtest.NewServer()
			shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithNamespace("jobs"), watchsource.WithStartTimeout(2*time.Minute))
			startShared(t, shared, "first")
			server.Inject(watchtest.Fault{Do: test.do})
			server.Strike(watchtest.Reset())
			time.Sleep(time.Minute)
			err := shared.Source(watchsource.NewStore()).Start("late")
			if err == nil || !test.is(err) || apierrors.IsTimeout(err) != test.timeout {
				t.Errorf("Start = %v, want the error of the requests, after the start timeout: %v", err, test.timeout)
			}
		})
	}
}

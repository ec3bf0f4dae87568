// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
)

// resting stops the application for the rest of the test, so that nothing happens
// on the server.
func (s *round) resting(t *testing.T) {
	t.Helper()
	s.application.mu.Lock()
	t.Cleanup(s.application.mu.Unlock)
}

// A source that is started again with the same store lists a server that was
// restored from a backup meanwhile: what the list says counts, although its
// versions are older.
func TestStartOnARestoredServer(t *testing.T) {
	s := newScene(t)
	s.resting(t)
	a := s.application
	for id := range 3 {
		for a.stages[id] < running {
			a.advance(t, id)
		}
	}
	source := newSource(t, s.identity.config("https://"+s.link.address), s.namespace)
	source.ledger.historyChanges.Store(true)
	backup, err := server.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id := range 2 {
		if err := a.patch(t.Context(), name(id), `{"metadata":{"annotations":{"lost":"yes"}}}`); err != nil {
			t.Fatal(err)
		}
	}
	a.converge(t, limit, source)
	source.Stop()
	if err := backup.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := source.Start(appID); err != nil {
		t.Fatal(err)
	}
	source.ledger.read()
	s.application.mustEqualList(t, source)
	exit := `{"status":{"phase":"Failed"}}`
	if err := a.patch(t.Context(), name(0), exit, "status"); err != nil {
		t.Fatal(err)
	}
	if o := a.converge(t, limit, source); !o[0].converged {
		t.Fatal("the store is not up to date")
	}
	if e, _ := source.store.Snapshot().Get(name(0)); e.State != watchsource.Failed {
		t.Errorf("the executor is %v, want Failed", e.State)
	}
	s.application.mustEqualList(t, source)
}

// A version that the server refuses with 400 costs a list after three refusals.
func TestServerRefusesTheVersion(t *testing.T) {
	s := newScene(t)
	config := s.identity.config("https://" + s.link.address)
	broken := &versionBreaker{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		broken.next = next
		return broken
	})
	source := newSource(t, config, s.namespace)
	broken.begin()
	s.link.reset()
	if o := s.application.converge(t, limit, source); !o[0].converged {
		t.Fatalf("the store is not up to date; status %+v", source.Status())
	}
	s.application.mustEqualList(t, source)
	if got := source.Status(); got.Relists != 1 || got.Errors < 3 {
		t.Errorf("%d relists after %d errors, want 1 after 3 refusals", got.Relists, got.Errors)
	}
}

// versionBreaker makes the versions of three watches such that no server
// understands them.
type versionBreaker struct {
	next http.RoundTripper

	mu   sync.Mutex
	left int
}

func (b *versionBreaker) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = 3
}

func (b *versionBreaker) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	b.mu.Lock()
	if b.left > 0 && query.Has("watch") && query.Get("resourceVersion") != "" {
		b.left--
		query.Set("resourceVersion", "broken")
		request = request.Clone(request.Context())
		request.URL.RawQuery = query.Encode()
	}
	b.mu.Unlock()
	return b.next.RoundTrip(request)
}

// A proxy cuts streams that are idle for three seconds: a watch is open for most
// of the time, and no list is needed.
func TestIdleStreamsAreCut(t *testing.T) {
	s := newScene(t)
	s.resting(t)
	s.tlsProxy.idle.Store(int64(3 * time.Second))
	config := s.tlsProxy.through(s.identity.config("https://" + s.link.address))
	var mu sync.Mutex
	var closed time.Time
	var gaps, longest time.Duration
	begin := time.Now()
	source := newSource(t, config, s.namespace, watchsource.WithObserver(func(o watchsource.Observation) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case o.Kind == watchsource.Closed:
			closed = time.Now()
		case o.Kind == watchsource.Opened && !closed.IsZero():
			gap := time.Since(closed)
			gaps, longest = gaps+gap, max(longest, gap)
		}
	}))
	time.Sleep(30 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	open := 1 - gaps.Seconds()/time.Since(begin).Seconds()
	status := source.Status()
	t.Logf("open %.3f of the time, longest gap %v, %d resumes", open, longest, status.Resumes)
	if status.Resumes < 5 || status.Relists != 0 || open < 0.7 || longest > 1500*time.Millisecond {
		t.Errorf("open %.2f of the time, longest gap %v; status %+v", open, longest, status)
	}
}

// All timers have their defaults. A proxy swallows the stream before the
// first bookmark has come, which shows within four minutes; and a source of a
// cluster in which nothing happens is healthy at every look.
func TestSilence(t *testing.T) {
	const watched = 6 * time.Minute
	s := newScene(t)
	s.resting(t)
	direct := s.identity.config("https://" + s.link.address)
	swallowed := newSource(t, s.tlsProxy.through(direct), s.namespace)
	s.tlsProxy.freeze()
	quiet := map[string]*source{
		"default":       newSource(t, direct, s.namespace),
		"45s":           newSource(t, direct, s.namespace, watchsource.WithStallTimeout(45*time.Second)),
		"20s, resumed":  newSource(t, direct, s.namespace, watchsource.WithStallTimeout(20*time.Second)),
		"through proxy": newSource(t, s.tlsProxy.through(direct), s.namespace),
	}
	asked := map[string]count{}
	for name, source := range quiet {
		asked[name] = source.count()
	}
	s.link.reset() // a watch that is resumed gets no bookmark while no version moves
	marked := s.application.mark(t)
	var seen time.Duration
	for begin := time.Now(); time.Since(begin) < watched; time.Sleep(time.Second) {
		if seen == 0 && swallowed.sees() == marked {
			seen = time.Since(begin)
		}
		for name, source := range quiet {
			if err := source.Healthy(3 * time.Minute); err != nil {
				t.Fatalf("%s: %v after %v; status %+v", name, err, time.Since(begin), source.Status())
			}
		}
	}
	t.Logf("the swallowed stream was replaced within %v; %+v", seen, swallowed.Status())
	if seen == 0 || seen > 4*time.Minute {
		t.Errorf("the swallowed stream was replaced within %v, want 4 minutes", seen)
	}
	if got := swallowed.Status(); got.Relists != 0 || got.Stalls == 0 {
		t.Errorf("%d relists and %d stalls, want none and some", got.Relists, got.Stalls)
	}
	for name, source := range quiet {
		spent, status := source.count().since(asked[name]), source.Status()
		t.Logf("%s: %d lists, %d resumes, %d stalls", name, spent.lists, status.Resumes, status.Stalls)
		if spent.lists > 2 || status.Relists > 0 {
			t.Errorf("%s: %d lists in %v of silence, want at most one in five minutes", name, spent.lists, watched)
		}
	}
}

// blockedStore is a store whose first list takes until it is released.
type blockedStore struct {
	*watchsource.Store
	entered, release chan struct{}
}

func (s blockedStore) ReplaceSnapshot(pods []*corev1.Pod) {
	close(s.entered)
	<-s.release
	s.Store.ReplaceSnapshot(pods)
}

// After Run nothing runs, even if its context ends during the first list.
func TestRunEndsDuringTheFirstList(t *testing.T) {
	s := newScene(t)
	client, _ := newClient(t, rest.CopyConfig(server.Config()))
	for range 30 {
		store := blockedStore{watchsource.NewStore(), make(chan struct{}), make(chan struct{})}
		source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace(s.namespace))
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- source.Run(ctx, appID) }()
		<-store.entered
		cancel()
		close(store.release)
		if err := <-result; err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := source.Status().Phase; got != watchsource.Stopped {
			t.Fatalf("phase %v after Run", got)
		}
	}
}

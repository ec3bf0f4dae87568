// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Faults from public bug reports. Without the fixes, the view stays wrong for ever, an error
// is hidden, or there are too many lists.

// readerCounts counts the changes that a reader of Batches receives, by executor name.
type readerCounts struct {
	ended, deleted map[string]int
}

// countChanges counts the changes of a store's batches until the test ends.
func countChanges(t *testing.T, store *watchsource.Store) *readerCounts {
	seen := &readerCounts{ended: map[string]int{}, deleted: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		for batch := range store.Batches(ctx, 0) {
			for _, c := range batch.Changes {
				switch {
				case c.After.State == watchsource.Deleted:
					seen.deleted[c.After.Name]++
				case c.After.State.Ended() && (c.Before == nil || !c.Before.State.Ended()):
					seen.ended[c.After.Name]++
				}
			}
		}
	}()
	synctest.Wait()
	return seen
}

// A server that is restored from a backup uses its versions again (kubernetes issue 107457,
// etcd issue 16028). It accepts a watch from a version that it has not reached, and sends no
// events up to that version.
func TestServerRestoredFromBackup(t *testing.T) {
	for _, test := range []struct {
		name        string
		server      []watchtest.Option
		noBookmarks bool          // the server sends no bookmarks in watches
		denyList    bool          // the client has the verb watch but not list
		before      time.Duration // between Start and the restore
	}{
		{name: "older bookmarks", before: time.Minute},
		{name: "no streaming lists", server: []watchtest.Option{watchtest.WithoutStreamingLists()}, before: time.Minute},
		{name: "no bookmarks", noBookmarks: true, before: time.Minute},
		{name: "no bookmarks and no right to list", noBookmarks: true, denyList: true, before: time.Minute},
		{name: "no bookmarks after hours of silence", noBookmarks: true, before: 5 * time.Hour},
		{name: "no bookmarks and no streaming lists", server: []watchtest.Option{watchtest.WithoutStreamingLists()}, noBookmarks: true, before: 7 * time.Minute},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, test.server...)
			if test.noBookmarks {
				env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()})
			}
			if test.denyList {
				env.server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Answer(forbidden)})
			}
			for _, id := range []string{"ends before", "ends after", "ends twice", "lives"} {
				env.create(id, phase(corev1.PodRunning))
			}
			env.start()
			seen := countChanges(t, env.store)
			time.Sleep(test.before)

			restore := env.server.Backup()
			env.update("ends before", phase(corev1.PodFailed))
			env.update("ends twice", phase(corev1.PodFailed))
			env.update("lives", phase(corev1.PodRunning))
			env.create("new", phase(corev1.PodRunning))
			env.server.Advance(1000)
			env.update("lives", phase(corev1.PodRunning))
			synctest.Wait()
			restore()
			env.update("ends after", phase(corev1.PodFailed))
			time.Sleep(5 * time.Minute)
			env.wantEqualToList()
			if got := env.source.Status().Relists; got != 1 {
				t.Errorf("%d relists, want 1", got)
			}

			// From here on the view follows the new history.
			env.update("ends twice", phase(corev1.PodFailed))
			env.delete("lives")
			env.wantEqualToList()
			if got, want := fmt.Sprint(seen.ended), "map[exec-ends after:1 exec-ends before:1 exec-ends twice:2]"; got != want {
				t.Errorf("the reader received the ends %s, want %s", got, want)
			}
			if got, want := fmt.Sprint(seen.deleted), "map[exec-lives:1 exec-new:1]"; got != want {
				t.Errorf("the reader received the deletions %s, want %s", got, want)
			}
		})
	}
}

// A busy restored server passes the version that the source holds before the watch is silent
// for long enough to be noticed. The source therefore requests the server's version after
// an outage.
func TestBusyServerRestoredFromBackup(t *testing.T) {
	for name, away := range map[string]watchtest.Effect{
		"refused": watchtest.Refuse(), "503": watchtest.Answer(apierrors.NewServiceUnavailable("starting")), "reset": watchtest.Reset(),
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()})
			env.create("1", phase(corev1.PodRunning))
			env.create("2", phase(corev1.PodRunning))
			env.start()
			time.Sleep(time.Minute)
			restore := env.server.Backup()
			env.server.Advance(1000)
			env.update("2", phase(corev1.PodRunning))
			synctest.Wait()
			lift := env.server.Inject(watchtest.Fault{Do: away})
			restore()
			env.delete("1") // at a lower version than the source has
			time.Sleep(3 * time.Second)
			lift()
			for range 600 {
				env.update("2", phase(corev1.PodRunning))
				env.server.Advance(20)
				time.Sleep(100 * time.Millisecond)
			}
			env.wantEqualToList()
			if got := env.source.Status().Relists; got != 1 {
				t.Errorf("%d relists, want 1", got)
			}
		})
	}
}

// The source learns of the new history from a list: after a 410, or if it is started again
// with the same store.
func TestListOfAnEarlierHistory(t *testing.T) {
	for _, again := range []bool{false, true} {
		eachCaseInBubble(t, fmt.Sprintf("started again %v", again), func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			server.Create(pod("1", phase(corev1.PodPending)))
			memory, recorder := watchsource.NewStore(), &recordingStore{}
			source := startSource(t, newSource, server, watchsource.Tee(memory, recorder))
			seen := countChanges(t, memory)

			restore := server.Backup()
			server.Advance(1000)
			server.Update("jobs", "exec-1", phase(corev1.PodRunning))
			synctest.Wait()
			if again {
				source.Stop()
				restore()
				start(t, source, "app")
				seen = countChanges(t, memory) // the reader before it has ended with Stop
			} else {
				server.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Answer(expired)})
				restore()
			}
			time.Sleep(time.Second)
			wantEqualToList(t, server, memory)
			server.Update("jobs", "exec-1", phase(corev1.PodFailed))
			wantEqualToList(t, server, memory)
			if seen.ended["exec-1"] != 1 {
				t.Errorf("the reader received the end %d times, want 1", seen.ended["exec-1"])
			}
			want := []string{"replace exec-1", "update exec-1", "replace exec-1", "update exec-1"}
			if got := recorder.all(); !slices.Equal(got, want) {
				t.Errorf("the other store received %q, want %q", got, want)
			}
		})
	}
}

// A list replaces all earlier events, even if its version is lower. Between lists, a lower
// version is still an older state.
func TestListIsNewerThanAnyEventBefore(t *testing.T) {
	memory, recorder := watchsource.NewStore(), &recordingStore{}
	watcher := watchsource.NewWatcher(watchsource.Tee(memory, recorder), selectorOf(t, executors))
	watcher.Replace([]*corev1.Pod{pod("1", uid("u"), version("1000"), phase(corev1.PodRunning))}, "1000")
	watcher.Replace([]*corev1.Pod{pod("1", uid("u"), version("400"), phase(corev1.PodPending))}, "500")
	if got, at := names(memory.Snapshot()), memory.Snapshot().ResourceVersion(); got != "exec-1=Pending" || at != "500" {
		t.Errorf("snapshot %q at version %q, want exec-1=Pending at 500, as in the list", got, at)
	}
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("600"), phase(corev1.PodFailed)))))
	must(t, watcher.Receive(modified(pod("1", uid("u"), version("550"), phase(corev1.PodRunning)))))
	if got := names(memory.Snapshot()); got != "exec-1=Failed" {
		t.Errorf("snapshot %q, want exec-1=Failed", got)
	}
	want := []string{"replace exec-1", "replace exec-1", "update exec-1"}
	if got := recorder.all(); !slices.Equal(got, want) {
		t.Errorf("the other store received %q, want %q", got, want)
	}
}

// If every watch fails, the source leaves time between its lists, even if events arrive
// between them.
func TestListsAreSpaced(t *testing.T) {
	for _, test := range []struct {
		name   string
		after  int // frames that arrive before the effect
		effect watchtest.Effect
	}{
		{name: "410 after one event", after: 1, effect: watchtest.Answer(expired)},
		{name: "410 at once", after: 0, effect: watchtest.SendError(expired)},
		{name: "410 at connect", after: 0, effect: watchtest.Answer(expired)},
		{name: "refused", after: 0, effect: watchtest.Answer(internal)},
		{name: "ended", after: 0, effect: watchtest.Cut()},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, watchtest.WithoutStreamingLists())
			env.create("1", phase(corev1.PodRunning))
			env.start()
			time.Sleep(5 * time.Minute)
			env.server.Inject(watchtest.Fault{On: watchtest.Watch, After: test.after, Do: test.effect})
			env.server.Strike(watchtest.Cut())
			go func() { // so that each stream has events
				for range 6000 {
					env.update("1", func(*corev1.Pod) {})
					time.Sleep(10 * time.Millisecond)
				}
			}()
			before := completeLists(env.server)
			time.Sleep(time.Minute)
			if n := completeLists(env.server) - before; n == 0 || n > 20 {
				t.Errorf("%d lists in a minute, want 1 to 20", n)
			}
		})
	}
}

// openTime measures from an observer's calls how long a watch is open.
type openTime struct {
	opened, closed time.Time // of the last Opened and Closed
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
		open float64 // the least part of the time in which a watch is open
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

// The source replaces a connection that is reset now and then at once, as an informer does.
func TestResetsAreRepairedAtOnce(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.start()
		for range 20 {
			time.Sleep(time.Minute)
			for range 3 {
				env.server.Strike(watchtest.Reset())
				env.server.Delete("jobs", env.create("1").Name)
				env.create("1")
				env.wantEqualToList() // without any delay
				env.delete("1")
				synctest.Wait()
			}
		}
	})
}

// A proxy swallows the stream before the first bookmark arrives.
func TestStreamSwallowedAfterStart(t *testing.T) {
	for name, options := range map[string][]watchtest.Option{
		"streaming list": nil,
		"plain list":     {watchtest.WithoutStreamingLists()},
		"no bookmarks":   {watchtest.WithoutStreamingLists(), watchtest.WithBookmarkInterval(0)},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, options...)
			env.start()
			time.Sleep(10 * time.Second)
			env.server.Strike(watchtest.Silence())
			env.create("1")
			time.Sleep(4 * time.Minute)
			env.wantEqualToList()
			if got := env.source.Status(); got.Relists != 0 || got.Stalls != 1 {
				t.Errorf("%d relists and %d stalls, want 0 and 1", got.Relists, got.Stalls)
			}
		})
	}
}

// The source is healthy in a cluster in which nothing happens, even if the server sends no
// bookmarks, or if the stall timeout is shorter than the interval of the bookmarks.
func TestGuarantee7QuietClusterIsHealthy(t *testing.T) {
	for _, test := range []struct {
		name         string
		server       []watchtest.Option
		noBookmarks  bool // the server sends no bookmarks in watches
		endBookmarks bool // the server sends no bookmarks after an hour
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
		{name: "short stall timeout and no bookmarks", noBookmarks: true, options: []watchsource.Option{watchsource.WithStallTimeout(45 * time.Second)}},
	} {
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
				t.Errorf("%d requests, %d stalls and %d relists in three quiet hours, want at most %d, 1 and 0", n, status.Stalls, status.Relists, 3*120)
			}
		})
	}
}

// A source that receives nothing because the network drops everything is not healthy. It
// must distinguish this from a quiet cluster.
func TestGuarantee7LostSightIsNotHealthy(t *testing.T) {
	for name, effect := range map[string]watchtest.Effect{"black hole": watchtest.Hang(), "proxy that swallows everything": watchtest.Silence()} {
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
			if !apierrors.IsTooManyRequests(err) || !apierrors.IsTimeout(err) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "come back later") {
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

// blockingStore blocks in ReplaceSnapshot.
type blockingStore struct {
	*watchsource.Store
	block <-chan struct{}
}

func (s blockingStore) ReplaceSnapshot(pods []*corev1.Pod) {
	<-s.block
	s.Store.ReplaceSnapshot(pods)
}

// Run stops the source and closes its stream if the context ends while the store receives
// the first list.
func TestRunEndsDuringTheFirstList(t *testing.T) {
	for range 100 {
		eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			block := make(chan struct{})
			source := newSource(blockingStore{watchsource.NewStore(), block}, server.Client())
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() { result <- source.Run(ctx, "app") }()
			synctest.Wait()
			cancel()
			synctest.Wait() // so that the stream has ended too
			close(block)
			if err := <-result; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if n, phase := len(server.Streams()), source.Status().Phase; n > 0 || phase != watchsource.Stopped {
				t.Fatalf("%d streams are open after Run, phase %v, want none and Stopped", n, phase)
			}
			start(t, source, "app")
			source.Stop()
		})
	}
}

// Start rejects a selector that selects nothing. Its text form is "", and a list with that
// text would select every pod.
func TestStartRejectsSelectorOfNothing(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		nothing, err := metav1.LabelSelectorAsSelector(nil)
		must(t, err)
		for name, selector := range map[string]labels.Selector{
			"labels.Nothing": labels.Nothing(), "LabelSelectorAsSelector(nil)": nothing, "a nil pointer": (*unprintableSelector)(nil), "one that cannot be written": &unprintableSelector{labels.SelectorFromSet(labels.Set{"a": "b"})},
		} {
			client := fake.NewClientset(pod("1"))
			source := newSource(watchsource.NewStore(), client, watchsource.WithSelector(func(string) labels.Selector { return selector }))
			if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "selector for application") {
				t.Errorf("%s: Start = %v, want an error about the selector", name, err)
			}
			if n := len(client.Actions()); n > 0 {
				t.Errorf("%s: %d requests, want none", name, n)
			}
		}
	})
}

// unprintableSelector is a selector whose text form is "".
type unprintableSelector struct{ labels.Selector }

func (*unprintableSelector) String() string { return "" }

// stoppingStore calls a function, which stops the source, from UpdatePod.
type stoppingStore struct {
	*watchsource.Store
	stop func()
}

func (s *stoppingStore) UpdatePod(*corev1.Pod) { s.stop() }

// If the store or the observer calls Stop, Stop waits for that call to return, and the call
// waits for Stop. The source logs this.
func TestStopFromWithinACallIsLogged(t *testing.T) {
	for name, waitingFor := range map[string]string{"store": "a call of the store", "observer": "a call of the observer"} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			log := &logLines{}
			var source *watchsource.WatchSnapshotSource
			stopping, released := make(chan struct{}), make(chan struct{})
			stop := func() { // waits until the test releases it, so that the test can end
				<-stopping
				go source.Stop()
				<-released
			}
			store := &stoppingStore{watchsource.NewStore(), func() {}}
			options := []watchsource.Option{watchsource.WithLogger(log.logger(0))}
			if name == "store" {
				store.stop = stop
			} else {
				options = append(options, watchsource.WithObserver(func(o watchsource.Observation) {
					if o.Kind == watchsource.Received {
						stop()
					}
				}))
			}
			source = newSource(store, server.Client(), options...)
			start(t, source, "app")
			server.Create(pod("1"))
			synctest.Wait()
			server.Create(pod("2")) // which a shared watch receives meanwhile
			synctest.Wait()
			close(stopping)
			time.Sleep(4 * time.Second)
			if lines := log.matching("Stop"); len(lines) != 0 {
				t.Errorf("logged %q after four seconds, want nothing", lines)
			}
			time.Sleep(time.Minute)
			if lines := log.matching("Stop", waitingFor); len(lines) != 1 || len(log.matching()) != 1 {
				t.Errorf("logged %q, want one line that says %q", log.matching(), waitingFor)
			}
			close(released)
			source.Stop()
		})
	}
}

// A panic of the client or the store in Start reaches the caller. The source is stopped
// afterwards.
func TestPanicInStart(t *testing.T) {
	for name, prepare := range map[string]func() (watchsource.SnapshotsStore, *fake.Clientset){
		"the list": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			client := fake.NewClientset()
			client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) { panic("broken") })
			return watchsource.NewStore(), client
		},
		"the watch": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			client := fake.NewClientset()
			client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) { panic("broken") })
			return watchsource.NewStore(), client
		},
		"the store": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			return panickingStore{}, fake.NewClientset()
		},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			store, client := prepare()
			source := newSource(store, client)
			for range 2 { // the second call shows that the source is stopped
				func() {
					defer func() {
						if r := recover(); r != "broken" {
							t.Errorf("recovered %v, want \"broken\"", r)
						}
					}()
					t.Errorf("Start = %v, want a panic", source.Start("app"))
				}()
			}
			source.Stop()
			if got := source.Status().Phase; got != watchsource.Stopped {
				t.Errorf("phase %v, want Stopped", got)
			}
		})
	}
}

type panickingStore struct{ watchsource.SnapshotsStore }

func (panickingStore) ReplaceSnapshot([]*corev1.Pod) { panic("broken") }

// brokenClient panics in every method, because its interface is nil.
type brokenClient struct{ kubernetes.Interface }

// A panic of the client before its first request also reaches the caller.
func TestPanicOfTheClientItself(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		source := newSource(watchsource.NewStore(), brokenClient{})
		for range 2 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("Start returned, want a panic")
					}
				}()
				t.Errorf("Start = %v, want a panic", source.Start("app"))
			}()
		}
		source.Stop()
	})
}

// The observer receives one Closed for each Opened, and can distinguish a relist from the
// first list.
func TestEachOpenedHasItsClosed(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		var seen []string
		source := newSource(watchsource.NewStore(), server.Client(), watchsource.WithObserver(func(o watchsource.Observation) {
			line := o.Kind.String()
			if o.Relist {
				line += " again"
			}
			if o.Err != nil {
				line += " with an error"
			}
			seen = append(seen, line)
		}))
		for range 2 {
			start(t, source, "app")
			server.Strike(watchtest.Answer(expired))
			time.Sleep(time.Minute - time.Second) // before a bookmark
			source.Stop()
		}
		session := []string{"Listed", "Opened", "Closed with an error", "Listed again", "Opened", "Closed"}
		if want := append(session, session...); !slices.Equal(seen, want) {
			t.Errorf("observed %q, want %q", seen, want)
		}
		if got := source.Status(); got.Errors != 1 {
			t.Errorf("%d errors, want 1, for the 410", got.Errors)
		}
	})
}

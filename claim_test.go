// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// The kinds of stores that a user may have. Only calls of the recordingStore are recorded.
type (
	ignoring       struct{}
	embeddingStore struct {
		*watchsource.Store
		calls *recordingStore
	}
	valueStore struct{ *recordingStore }
	sliceStore struct {
		*recordingStore
		any // with a value that cannot be compared
	}
	mapStore  map[string]*recordingStore
	chanStore chan string
	funcStore func(string)
)

func (ignoring) UpdatePod(*corev1.Pod)         {}
func (ignoring) DeletePod(*corev1.Pod)         {}
func (ignoring) ReplaceSnapshot([]*corev1.Pod) {}

func (s embeddingStore) ReplaceSnapshot(pods []*corev1.Pod) {
	s.calls.ReplaceSnapshot(pods)
	if s.Store != nil {
		s.Store.ReplaceSnapshot(pods)
	}
}
func (s embeddingStore) UpdatePod(pod *corev1.Pod) {
	if s.Store != nil {
		s.Store.UpdatePod(pod)
	}
}
func (s embeddingStore) DeletePod(*corev1.Pod)         {}
func (s embeddingStore) ObserveResourceVersion(string) {}
func (s embeddingStore) ObserveStop()                  {}

func (s mapStore) UpdatePod(pod *corev1.Pod)           { s["calls"].UpdatePod(pod) }
func (s mapStore) DeletePod(pod *corev1.Pod)           { s["calls"].DeletePod(pod) }
func (s mapStore) ReplaceSnapshot(pods []*corev1.Pod)  { s["calls"].ReplaceSnapshot(pods) }
func (s chanStore) UpdatePod(pod *corev1.Pod)          { s <- "update " + pod.Name }
func (s chanStore) DeletePod(pod *corev1.Pod)          { s <- "delete " + pod.Name }
func (s chanStore) ReplaceSnapshot(pods []*corev1.Pod) { s <- "replace" }
func (s funcStore) UpdatePod(pod *corev1.Pod)          { s("update " + pod.Name) }
func (s funcStore) DeletePod(pod *corev1.Pod)          { s("delete " + pod.Name) }
func (s funcStore) ReplaceSnapshot(pods []*corev1.Pod) { s("replace") }

// newFuncStore returns a function whose code is the same for each store.
func newFuncStore(calls *recordingStore) funcStore { return calls.record }

// eachPair runs a test with the constructors of two sources of one process.
func eachPair(t *testing.T, test func(t *testing.T, server *watchtest.Server, newFirst, newSecond func(watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource)) {
	for _, pair := range []struct {
		name                      string
		firstShared, secondShared bool
	}{
		{name: "own watches"},
		{name: "one shared watch", firstShared: true, secondShared: true},
		{name: "an own watch beside a shared watch", secondShared: true},
	} {
		inBubble(t, pair.name, func(t *testing.T) {
			server := watchtest.NewServer()
			shared := watchsource.NewSharedWatch(server.Client())
			own := func(store watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource {
				return watchsource.NewWatchSnapshotSource(store, server.Client())
			}
			newFirst, newSecond := own, own
			if pair.firstShared {
				newFirst = shared.Source
			}
			if pair.secondShared {
				newSecond = shared.Source
			}
			test(t, server, newFirst, newSecond)
		})
	}
}

func inApp(app string) func(*corev1.Pod) { return label(watchsource.LabelApp, app) }

// Two stores that are one, for two sources.
type claimedStores struct {
	first, second watchsource.SnapshotsStore
	// seen returns what the first store has received last.
	seen func() string
	// calls has the stores that the second source must not call.
	calls []*recordingStore
}

// inStore returns a function that returns what a Store has.
func inStore(store *watchsource.Store) func() string {
	return func() string { return names(store.Snapshot()) }
}

// sharedStores are the cases of TestOneStoreForEachSource.
var sharedStores = []struct {
	name string
	make func() claimedStores
}{
	{name: "a Store", make: func() claimedStores {
		s := watchsource.NewStore()
		return claimedStores{first: s, second: s, seen: inStore(s)}
	}},
	{name: "a Store, and a Tee with it", make: func() claimedStores {
		s, calls := watchsource.NewStore(), &recordingStore{}
		return claimedStores{first: s, second: watchsource.Tee(calls, s), seen: inStore(s), calls: []*recordingStore{calls}}
	}},
	{name: "a Tee with a Store, and the Store", make: func() claimedStores {
		s := watchsource.NewStore()
		return claimedStores{first: watchsource.Tee(&recordingStore{}, s), second: s, seen: inStore(s)}
	}},
	{name: "two Tees with one Store", make: func() claimedStores {
		s, calls := watchsource.NewStore(), &recordingStore{}
		return claimedStores{
			first: watchsource.Tee(s, watchsource.NewStore()), second: watchsource.Tee(watchsource.Tee(calls), watchsource.Tee(s)),
			seen: inStore(s), calls: []*recordingStore{calls},
		}
	}},
	{name: "two values of a type that embeds a Store", make: func() claimedStores {
		s, calls := watchsource.NewStore(), &recordingStore{}
		return claimedStores{
			first: embeddingStore{s, &recordingStore{}}, second: &embeddingStore{s, calls},
			seen: inStore(s), calls: []*recordingStore{calls},
		}
	}},
	{name: "a user's store", make: func() claimedStores {
		s := &recordingStore{}
		return claimedStores{first: s, second: s, seen: func() string { return strings.Join(s.all(), ", ") }}
	}},
	{name: "a user's store in two Tees", make: func() claimedStores {
		s, calls := &recordingStore{}, &recordingStore{}
		return claimedStores{
			first: watchsource.Tee(s), second: watchsource.Tee(calls, s),
			seen: func() string { return strings.Join(s.all(), ", ") }, calls: []*recordingStore{calls},
		}
	}},
	{name: "a user's map", make: func() claimedStores {
		s := mapStore{"calls": {}}
		return claimedStores{first: s, second: s, seen: func() string { return strings.Join(s["calls"].all(), ", ") }}
	}},
	{name: "a user's channel", make: func() claimedStores {
		s := make(chanStore, 100)
		return claimedStores{first: s, second: s, seen: func() string {
			var all []string
			for len(s) > 0 {
				all = append(all, <-s)
			}
			return strings.Join(all, ", ")
		}}
	}},
}

// While a source feeds a store, no other source can start with that store. The first
// source goes on, and the store is free after its Stop.
func TestOneStoreForEachSource(t *testing.T) {
	for _, test := range sharedStores {
		t.Run(test.name, func(t *testing.T) {
			eachPair(t, func(t *testing.T, server *watchtest.Server, newFirst, newSecond func(watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource) {
				server.Create(pod("2", inApp("other")))
				stores := test.make()
				first, second := newFirst(stores.first), newSecond(stores.second)
				start(t, first, "app")
				defer first.Stop()
				requests := len(server.Requests())

				wantInUse(t, second, "other", "app")
				server.Create(pod("1"))
				synctest.Wait()
				if n := len(server.Requests()); n != requests {
					t.Errorf("%d requests by the second source, want none", n-requests)
				}
				if seen := stores.seen(); !strings.Contains(seen, "exec-1") || strings.Contains(seen, "exec-2") {
					t.Errorf("the first source's store has %q, want exec-1 alone", seen)
				}
				for _, calls := range stores.calls {
					if got := calls.all(); len(got) > 0 {
						t.Errorf("the second source called its store: %q, want no call", got)
					}
				}
				if status := second.Status(); status.Phase != watchsource.Stopped {
					t.Errorf("the second source is %v, want Stopped", status.Phase)
				}

				first.Stop()
				start(t, second, "other")
				defer second.Stop()
				wantInUse(t, first, "app", "other")
				second.Stop()
				start(t, first, "app")
			})
		})
	}
}

// wantInUse fails unless Start fails because a source for the application holder feeds
// the store.
func wantInUse(t *testing.T, source *watchsource.WatchSnapshotSource, appID, holder string) {
	t.Helper()
	err := source.Start(appID)
	if !errors.Is(err, watchsource.ErrStoreInUse) {
		source.Stop()
		t.Fatalf("Start = %v, want ErrStoreInUse", err)
	}
	want := fmt.Sprintf("watchsource: another started source feeds the store, use one store for each source (the other source watches application %q)", holder)
	if err.Error() != want {
		t.Errorf("Start = %q, want %q", err, want)
	}
}

// Sources may start at the same time if their stores differ, or if nothing shows that
// the stores are one.
func TestDifferentStoresMayStart(t *testing.T) {
	shared := &recordingStore{}
	for _, test := range []struct {
		name          string
		first, second watchsource.SnapshotsStore
	}{
		{name: "two Stores", first: watchsource.NewStore(), second: watchsource.NewStore()},
		{name: "two empty Tees", first: watchsource.Tee(), second: watchsource.Tee()},
		{name: "values without a size", first: ignoring{}, second: ignoring{}},
		{name: "pointers to values without a size", first: &ignoring{}, second: &ignoring{}},
		{name: "equal values", first: valueStore{shared}, second: valueStore{shared}},
		{name: "values that cannot be compared", first: sliceStore{shared, []int{1}}, second: sliceStore{shared, []int{1}}},
		{name: "functions", first: newFuncStore(&recordingStore{}), second: newFuncStore(&recordingStore{})},
		{name: "embedded Stores that are nil", first: embeddingStore{calls: shared}, second: embeddingStore{calls: shared}},
		{
			name: "Tees of all of them", first: watchsource.Tee(ignoring{}, sliceStore{shared, []int{1}}),
			second: watchsource.Tee(ignoring{}, sliceStore{shared, []int{1}}),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachPair(t, func(t *testing.T, _ *watchtest.Server, newFirst, newSecond func(watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource) {
				first, second := newFirst(test.first), newSecond(test.second)
				start(t, first, "app")
				defer first.Stop()
				start(t, second, "other")
				second.Stop()
			})
		})
	}
}

// A Tee may have the same store twice, which then receives each call twice.
func TestTeeWithOneStoreTwice(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		store, calls := watchsource.NewStore(), &recordingStore{}
		source := newSource(watchsource.Tee(store, calls, store, calls), server.Client())
		for range 2 {
			start(t, source, "app")
			wantInUse(t, newSource(store, server.Client()), "other", "app")
			source.Stop()
		}
		if got, want := calls.all(), []string{"replace", "replace", "replace", "replace"}; !slices.Equal(got, want) {
			t.Errorf("the store received %q, want %q", got, want)
		}
		startSource(t, newSource, server, store)
	})
}

// failedStarts are the cases of TestStoreIsFreeAfterAFailedStart.
var failedStarts = []struct {
	name  string
	fail  func(newSource modeltest.NewSource, client kubernetes.Interface, store *watchsource.Store) error
	fault []watchtest.Effect
	want  func(error) bool
}{
	{name: "refused", fault: []watchtest.Effect{
		watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role"))),
	}, want: apierrors.IsForbidden,
		fail: func(newSource modeltest.NewSource, client kubernetes.Interface, store *watchsource.Store) error {
			return newSource(store, client).Start("app")
		}},
	{name: "timed out", fault: []watchtest.Effect{watchtest.Hang()}, want: apierrors.IsTimeout,
		fail: func(newSource modeltest.NewSource, client kubernetes.Interface, store *watchsource.Store) error {
			return newSource(store, client).Start("app")
		}},
	{name: "stopped", fault: []watchtest.Effect{watchtest.Hang()}, want: func(err error) bool {
		return errors.Is(err,
			watchsource.ErrStopped)
	},
		fail: func(newSource modeltest.NewSource, client kubernetes.Interface, store *watchsource.Store) error {
			source := newSource(store, client)
			time.AfterFunc(time.Second, source.Stop)
			return source.Start("app")
		}},
	{name: "ended by its context", fault: []watchtest.Effect{watchtest.Hang()}, want: func(err error) bool { return err == nil },
		fail: func(newSource modeltest.NewSource, client kubernetes.Interface, store *watchsource.Store) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return newSource(store, client).Run(ctx, "app")
		}},
	{name: "panicked", want: func(err error) bool { return err != nil && err.Error() == "broken" },
		fail: func(newSource modeltest.NewSource, client kubernetes.Interface, store *watchsource.Store) (err error) {
			defer func() { err = fmt.Errorf("%v", recover()) }()
			return newSource(watchsource.Tee(store, panickingStore{}), client).Start("app")
		}},
	{name: "invalid application", want: func(err error) bool { return errors.Is(err, watchsource.ErrInvalidAppID) },
		fail: func(newSource modeltest.NewSource, client kubernetes.Interface, store *watchsource.Store) error {
			return newSource(store, client).Start("")
		}},
}

// A Start that fails leaves the store free for another source.
func TestStoreIsFreeAfterAFailedStart(t *testing.T) {
	for _, test := range failedStarts {
		eachCaseEachWay(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			lift := func() {}
			for _, fault := range test.fault {
				lift = env.server.Inject(watchtest.Fault{Do: fault})
			}
			if err := test.fail(newSource, env.server.Client(), env.store); !test.want(err) {
				t.Errorf("the first Start: %v", err)
			}
			lift()
			env.start()
		})
	}
}

// Of sources that start at the same time with one store, exactly one starts, whatever
// the order in which their Tees name the stores.
func TestConcurrentStartsWithOneStore(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		for range 100 {
			one, other := watchsource.NewStore(), watchsource.NewStore()
			var starting sync.WaitGroup
			results := make([]error, 8)
			for i := range results {
				stores := watchsource.Tee(one, other)
				if i%2 == 1 {
					stores = watchsource.Tee(other, one)
				}
				source := newSource(stores, server.Client())
				t.Cleanup(source.Stop)
				starting.Go(func() { results[i] = source.Start("app") })
			}
			starting.Wait()
			started := 0
			for _, err := range results {
				if err == nil {
					started++
				} else if !errors.Is(err, watchsource.ErrStoreInUse) {
					t.Errorf("Start = %v, want ErrStoreInUse", err)
				}
			}
			if started != 1 {
				t.Fatalf("%d sources started, want 1", started)
			}
		}
	})
}

// Nothing keeps a store in memory after its source has stopped.
func TestStoppedSourceFreesItsStore(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		own, users := func() (weak.Pointer[watchsource.Store], weak.Pointer[recordingStore]) {
			own, users := watchsource.NewStore(), &recordingStore{}
			synctest.Test(t, func(t *testing.T) {
				source := newSource(watchsource.Tee(own, users), watchtest.NewServer().Client())
				start(t, source, "app")
				source.Stop()
			})
			return weak.Make(own), weak.Make(users)
		}()
		for range 3 {
			runtime.GC()
		}
		if own.Value() != nil || users.Value() != nil {
			t.Error("a store is still in memory after Stop, want it collected")
		}
	})
}

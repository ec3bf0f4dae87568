// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/agreement"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// patience is how long anything may take to be seen.
const patience = 30 * time.Second

// forgetfulPatience is that for a consumer that has to list after each watch: the library makes up to 45
// seconds of pause between such lists.
const forgetfulPatience = patience + 45*time.Second

// A consumer is a source and the store that it feeds.
type consumer struct {
	name      string
	app       string
	namespace string
	trimmed   bool // the pods come in the form for a store of the user
	forgetful bool // has to list again when a watch has ended
	store     *watchsource.Store
	source    *watchsource.WatchSnapshotSource
}

// newConsumer starts to watch and stops after the test.
func newConsumer(t *testing.T, name string, config *rest.Config, namespace string, options ...watchsource.Option) *consumer {
	t.Helper()
	options = append(options, watchsource.WithNamespace(namespace))
	w := &consumer{name: name, app: appID, namespace: namespace, store: watchsource.NewStore()}
	w.source = watchsource.NewWatchSnapshotSource(w.store, newClient(t, config), options...)
	w.start(t)
	return w
}

// newSharedConsumer is newConsumer with a source of a SharedWatch.
func newSharedConsumer(t *testing.T, name string, config *rest.Config, namespace string, options ...watchsource.Option) *consumer {
	t.Helper()
	options = append(options, watchsource.WithNamespace(namespace))
	shared := watchsource.NewSharedWatch(newClient(t, config), options...)
	w := &consumer{name: name, app: appID, namespace: namespace, store: watchsource.NewStore()}
	w.source = shared.Source(w.store)
	w.start(t)
	return w
}

// newTrimmedConsumer is newConsumer with a store that receives trimmed pods, as a store of the user
// does, because they come through a Tee.
func newTrimmedConsumer(t *testing.T, name string, config *rest.Config, namespace string, options ...watchsource.Option) *consumer {
	t.Helper()
	options = append(options, watchsource.WithNamespace(namespace), watchsource.WithTrimmedPods())
	w := &consumer{name: name, app: appID, namespace: namespace, trimmed: true, store: watchsource.NewStore()}
	w.source = watchsource.NewWatchSnapshotSource(watchsource.Tee(w.store), newClient(t, config), options...)
	w.start(t)
	return w
}

// start starts the source and stops it after the test.
func (w *consumer) start(t *testing.T) {
	t.Helper()
	if err := w.source.Start(w.app); err != nil {
		t.Fatalf("%s: %v", w.name, err)
	}
	t.Cleanup(w.source.Stop)
}

// waitFor fails the test if cond does not come true.
func (w *consumer) waitFor(t *testing.T, what string, cond func(watchsource.Snapshot) bool) watchsource.Snapshot {
	t.Helper()
	if w.forgetful {
		return w.waitWithin(t, forgetfulPatience, what, cond)
	}
	return w.waitWithin(t, patience, what, cond)
}

func (w *consumer) waitWithin(t *testing.T, limit time.Duration, what string, cond func(watchsource.Snapshot) bool) watchsource.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	snapshot, err := w.store.WaitFor(ctx, cond)
	if err != nil {
		t.Fatalf("%s does not see %s: %v; status %+v", w.name, what, err, w.source.Status())
	}
	return snapshot
}

// mustAgree waits until the consumer has caught up with the server, on which
// nothing may be happening, and then demands that it holds what the server
// lists.
func (w *consumer) mustAgree(t *testing.T, client kubernetes.Interface, when string) {
	t.Helper()
	list, err := client.CoreV1().Pods(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: executorSelector(w.app)})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := w.waitFor(t, "what the server has "+when, holding(list.Items))
	diff, err := agreement.Difference(t.Context(), client.CoreV1().Pods(w.namespace), executorSelector(w.app), snapshot, w.trimmed)
	if err != nil {
		t.Fatal(err)
	}
	if diff != "" {
		t.Errorf("%s: the server and %s differ %s", when, w.name, diff)
	}
}

// holding is the condition that a snapshot has these pods in these versions and
// no other, and knows its own version.
func holding(pods []corev1.Pod) func(watchsource.Snapshot) bool {
	versions := make(map[types.UID]string, len(pods))
	for i := range pods {
		versions[pods[i].UID] = pods[i].ResourceVersion
	}
	return func(snapshot watchsource.Snapshot) bool {
		if snapshot.Len() != len(versions) || snapshot.ResourceVersion() == "" {
			return false
		}
		for e := range snapshot.All() {
			if versions[e.UID] != e.ResourceVersion {
				return false
			}
		}
		return true
	}
}

// readerCounts are the changes that one reader of Batches was shown, by pod.
type readerCounts struct {
	reader     string
	forgetful  bool
	ends, gone map[types.UID]int
	last       map[types.UID]*watchsource.Executor
	broken     []watchsource.Change // that do not continue where the last one left off
}

// count reads until it sees an executor with the given name. It has then seen all changes
// before.
func (w *consumer) count(ctx context.Context, interval time.Duration, until string) readerCounts {
	seen := readerCounts{
		reader:    fmt.Sprintf("%s, read every %v", w.name, interval),
		forgetful: w.forgetful,
		ends:      map[types.UID]int{},
		gone:      map[types.UID]int{},
		last:      map[types.UID]*watchsource.Executor{},
	}
	for batch := range w.store.Batches(ctx, interval) {
		for _, change := range batch.Changes {
			if change.After.Name == until {
				return seen
			}
			seen.add(change)
		}
	}
	return seen
}

func (s *readerCounts) add(change watchsource.Change) {
	before, after := change.Before, change.After
	if !same(before, s.last[after.UID]) {
		s.broken = append(s.broken, change)
	}
	s.last[after.UID] = after
	switch {
	case after.State == watchsource.Deleted:
		s.gone[after.UID]++
		delete(s.last, after.UID)
	case after.State.Ended() && (before == nil || !before.State.Ended()):
		s.ends[after.UID]++
	}
}

// same reports whether two sights of a pod are one.
func same(a, b *watchsource.Executor) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.UID == b.UID && a.ResourceVersion == b.ResourceVersion && a.State == b.State
}

// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"strings"
	"sync"
	"testing"

	"github.com/executorpods/watchsource"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A source is watchsource: an ordinary source, or one of a SharedWatch.
type source struct {
	*watchsource.WatchSnapshotSource
	name    string
	store   *watchsource.Store
	traffic *traffic
	ledger  *ledger
	journal journal

	stopOther func() // stops the other source of a SharedWatch
}

func newSource(t *testing.T, config *rest.Config, namespace string, options ...watchsource.Option) *source {
	t.Helper()
	return startSource(t, "watchsource", watchsource.NewWatchSnapshotSource, config, namespace, options...)
}

// newSharedSource returns a source of a SharedWatch that has another application too.
func newSharedSource(t *testing.T, config *rest.Config, namespace string, options ...watchsource.Option) *source {
	t.Helper()
	var other *watchsource.WatchSnapshotSource
	shared := func(store watchsource.SnapshotsStore, client kubernetes.Interface, options ...watchsource.Option) *watchsource.WatchSnapshotSource {
		watch := watchsource.NewSharedWatch(client, options...)
		other = watch.Source(watchsource.NewStore())
		return watch.Source(store)
	}
	s := startSource(t, "SharedWatch", shared, config, namespace, options...)
	if err := other.Start("another-application"); err != nil {
		t.Fatal(err)
	}
	s.stopOther = other.Stop
	return s
}

type constructor func(watchsource.SnapshotsStore, kubernetes.Interface, ...watchsource.Option) *watchsource.WatchSnapshotSource

func startSource(t *testing.T, name string, construct constructor, config *rest.Config, namespace string, options ...watchsource.Option) *source {
	t.Helper()
	client, traffic := newClient(t, config)
	s := &source{name: name, store: watchsource.NewStore(), traffic: traffic, stopOther: func() {}}
	options = append(options, watchsource.WithNamespace(namespace), watchsource.WithLogger(funcr.New(s.journal.write, funcr.Options{})))
	s.WatchSnapshotSource = construct(s.store, client, options...)
	if err := s.Start(appID); err != nil {
		t.Fatal(err)
	}
	s.ledger = keepLedger(s.store)
	t.Cleanup(s.stop)
	return s
}

func (s *source) sees() string {
	e, _ := s.store.Snapshot().Get(marker)
	return e.ResourceVersion
}

func (s *source) holds() map[types.UID]string {
	held := map[types.UID]string{}
	for e := range s.store.Snapshot().All() {
		held[e.UID] = e.ResourceVersion
	}
	return held
}

func (s *source) count() count { return s.traffic.count(s.Status().Errors) }

func (s *source) lastError() error { return s.Status().Err }

func (s *source) stop() {
	s.Stop()
	s.stopOther()
	s.ledger.close()
	s.traffic.hangUp()
}

// A journal is what an operator finds in the log, debug messages left out.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) write(_, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// page returns the lines since the last page.
func (j *journal) page() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	page := strings.Join(j.lines, "\n")
	j.lines = nil
	return page
}

// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"strings"
	"sync"
	"testing"

	"github.com/executorpods/watchsource"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// A source is watchsource.
type source struct {
	*watchsource.WatchSnapshotSource
	store   *watchsource.Store
	traffic *traffic
	ledger  *ledger
	journal journal
	trimmed bool
}

func newSource(t *testing.T, config *rest.Config, namespace string, trimmed bool, options ...watchsource.Option) *source {
	t.Helper()
	client, traffic := newClient(t, config)
	s := &source{store: watchsource.NewStore(), traffic: traffic, trimmed: trimmed}
	options = append(options, watchsource.WithNamespace(namespace), watchsource.WithLogger(funcr.New(s.journal.write, funcr.Options{})))
	if trimmed {
		options = append(options, watchsource.WithTrimmedPods())
	}
	s.WatchSnapshotSource = watchsource.NewWatchSnapshotSource(s.store, client, options...)
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

// SPDX-License-Identifier: Apache-2.0

package application

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"k8s.io/client-go/kubernetes"
)

// An outcome is how the life of an executor reached a reader of the store.
type outcome struct {
	executor watchsource.Executor // its end, or else the last state
	seen     time.Time            // when the reader was shown the end, or else that it was gone
	ends     int
	gone     int
}

func (o outcome) lost() bool { return o.ends+o.gone > 0 }

// A watch is a source of the library, with two stores and a reader.
type watch struct {
	store    *watchsource.Store
	recorder *recorder

	mu       sync.Mutex
	outcomes map[string]*outcome // by executor id
}

// startWatch watches an application until the test ends.
func startWatch(t *testing.T, client kubernetes.Interface, app, namespace string) *watch {
	t.Helper()
	w := &watch{store: watchsource.NewStore(), recorder: &recorder{events: map[string][]sighting{}}, outcomes: map[string]*outcome{}}
	source := watchsource.NewWatchSnapshotSource(watchsource.Tee(w.recorder, w.store), client, watchsource.WithNamespace(namespace))
	if err := source.Start(app); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var reading sync.WaitGroup
	reading.Go(func() {
		for batch := range w.store.Batches(ctx, 0) {
			w.read(batch)
		}
	})
	t.Cleanup(func() {
		source.Stop()
		cancel()
		reading.Wait()
	})
	return w
}

func (w *watch) read(batch watchsource.Batch) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range batch.Changes {
		o := w.outcomes[c.After.ID]
		if o == nil {
			o = &outcome{}
			w.outcomes[c.After.ID] = o
		}
		gone := c.After.State == watchsource.Deleted
		switch {
		case c.Ended:
			o.ends++
			o.seen = now
		case gone && o.ends == 0:
			o.seen = now
		}
		if gone {
			o.gone++
		} else if o.ends == 0 || c.Ended {
			o.executor = *c.After
		}
	}
}

// executors returns what the reader was shown up to now, by executor id.
func (w *watch) executors() map[string]outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	outcomes := map[string]outcome{}
	for id, o := range w.outcomes {
		outcomes[id] = *o
	}
	return outcomes
}

// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// maxSilence is what a liveness probe asks for.
const maxSilence = 3 * time.Minute

// Guarantee 7: nothing happens in an application for the time that -long gives, and each source is
// healthy at every look, logs nothing, and needs no list.
func TestIdleApplication(t *testing.T) {
	if *long == 0 {
		t.Skip("only with -long")
	}
	client := admin(t)
	namespace := newNamespace(t, client)
	create(t, client, executorPod(namespace, appID, 0))
	var idle []*idleConsumer
	for _, how := range []struct {
		name     string
		config   *rest.Config
		consumer func(*testing.T, string, *rest.Config, string, ...watchsource.Option) *consumer
	}{
		{"protobuf", speaking(server.Config(), asProtobuf), newConsumer},
		{"JSON", speaking(server.Config(), asJSON), newConsumer},
		{"plain lists", altered(server.Config(), refusingStreamedLists), newConsumer},
		{"shared watch", server.Config(), newSharedConsumer},
	} {
		w := new(idleConsumer)
		w.consumer = how.consumer(t, how.name, how.config, namespace, watchsource.WithObserver(w.observe),
			watchsource.WithLogger(funcr.New(w.log, funcr.Options{})))
		idle = append(idle, w)
	}
	for begin := time.Now(); time.Since(begin) < *long; time.Sleep(time.Second) {
		for _, w := range idle {
			w.mustBeHealthy(t, time.Since(begin))
		}
	}
	create(t, client, executorPod(namespace, appID, 1))
	for _, w := range idle {
		w.mustAgree(t, client, "after the idle time")
		status := w.source.Status()
		if status.Relists != 0 || status.Errors != 0 || len(w.lines()) != 0 {
			t.Errorf("%s: %d relists, %d errors, the log has %q; want none; status %+v", w.name, status.Relists, status.Errors, w.lines(), status)
		}
		t.Logf("%-14s bookmarks after %v; %d resumes", w.name, w.bookmarks(), status.Resumes)
	}
}

// An idleConsumer records its log and the times of its bookmarks.
type idleConsumer struct {
	*consumer

	mu       sync.Mutex
	logged   []string
	begin    time.Time
	received []time.Duration // after the first watch was opened
}

func (w *idleConsumer) log(_, line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logged = append(w.logged, line)
}

func (w *idleConsumer) observe(o watchsource.Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case o.Kind == watchsource.Opened && w.begin.IsZero():
		w.begin = time.Now()
	case o.Kind == watchsource.Received && o.Event == watch.Bookmark:
		w.received = append(w.received, time.Since(w.begin).Round(100*time.Millisecond))
	}
}

func (w *idleConsumer) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.logged)
}

func (w *idleConsumer) bookmarks() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.received)
}

func (w *idleConsumer) mustBeHealthy(t *testing.T, after time.Duration) {
	t.Helper()
	if err := w.source.Healthy(maxSilence); err != nil {
		t.Fatalf("%s: after %v: %v; status %+v", w.name, after, err, w.source.Status())
	}
	if status := w.source.Status(); status.Phase != watchsource.Watching {
		t.Fatalf("%s: after %v the phase is %v; the log has %s", w.name, after, status.Phase, strings.Join(w.lines(), "\n"))
	}
}

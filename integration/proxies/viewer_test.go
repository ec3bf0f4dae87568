// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/agreement"
	"github.com/go-logr/logr/funcr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// A change reaches an open watch at once. The watch may just have been cut: then the next
	// one opens at once too, or, if the cut one was younger than a second, after half a
	// second and its jitter. The rest is for a busy machine.
	soon = 2 * time.Second
	// A viewer gives up to wait for a change, so that the test ends.
	patience = time.Minute

	lookInterval = 100 * time.Millisecond
)

// A viewer is a source that watches the application of a scene, and what a scheduler would have
// seen of it.
type viewer struct {
	setup
	way    string
	scene  *scene
	source *watchsource.WatchSnapshotSource
	store  *watchsource.Store
	wire   *wire
	log    journal

	mu       sync.Mutex
	away     time.Duration // in which the phase was not Watching
	sick     time.Duration // in which it was not healthy
	sickness error         // the first one
	arrivals []time.Duration
}

// start starts a viewer until the test ends.
func (s *scene) start(t *testing.T, w setup, http2 bool, config *rest.Config) {
	t.Helper()
	s.startWith(t, w.way(http2), watchsource.NewWatchSnapshotSource, w, config)
}

// startShared is start for a source of a SharedWatch.
func (s *scene) startShared(t *testing.T, w setup, http2 bool, config *rest.Config) {
	t.Helper()
	construct := func(store watchsource.SnapshotsStore, client kubernetes.Interface, options ...watchsource.Option) *watchsource.WatchSnapshotSource {
		return watchsource.NewSharedWatch(client, options...).Source(store)
	}
	s.startWith(t, w.way(http2)+", shared", construct, w, config)
}

type constructor func(watchsource.SnapshotsStore, kubernetes.Interface, ...watchsource.Option) *watchsource.WatchSnapshotSource

func (s *scene) startWith(t *testing.T, way string, construct constructor, w setup, config *rest.Config) {
	t.Helper()
	v := &viewer{setup: w, way: way, scene: s, store: watchsource.NewStore(), wire: &wire{}}
	config = rest.CopyConfig(config)
	config.Timeout = w.timeout
	client, err := kubernetes.NewForConfig(v.wire.tap(t, config))
	if err != nil {
		t.Fatal(err)
	}
	v.source = construct(v.store, client,
		watchsource.WithNamespace(s.namespace), watchsource.WithLogger(funcr.New(v.log.write, funcr.Options{})))
	if err := v.source.Start(appID); err != nil {
		t.Fatalf("%s: %v", v.title(), err)
	}
	t.Cleanup(v.source.Stop)
	s.viewers = append(s.viewers, v)
}

func (v *viewer) title() string { return v.way + ", " + v.scene.name }

// look looks at the status and the health until ctx ends.
func (v *viewer) look(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		phase, err := v.source.Status().Phase, v.source.Healthy(3*time.Minute)
		v.mu.Lock()
		if phase != watchsource.Watching {
			v.away += now.Sub(last)
		}
		if err != nil {
			v.sick += now.Sub(last)
		}
		if err != nil && v.sickness == nil {
			v.sickness = err
		}
		v.mu.Unlock()
		last = now
	}
}

// await notes how long it takes until the store has a version of an executor.
func (v *viewer) await(ctx context.Context, name, version string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begin := time.Now()
	_, _ = v.store.WaitFor(ctx, func(s watchsource.Snapshot) bool {
		e, _ := s.Get(name)
		return e.ResourceVersion == version
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.arrivals = append(v.arrivals, time.Since(begin))
}

// judge compares the record of the viewer with the promises of the library.
func (v *viewer) judge(t *testing.T) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch diff, err := agreement.Difference(t.Context(), v.scene.pods, selector, v.store.Snapshot(), false); {
	case err != nil:
		t.Error(err)
	case diff != "":
		t.Error("not equal to a list ", diff)
	}
	for _, after := range v.arrivals {
		if after > soon {
			t.Errorf("a change arrived after %v, want %v", after, soon)
		}
	}
	status := v.source.Status()
	if status.Relists != 0 {
		t.Errorf("%d relists, want none", status.Relists)
	}
	if v.away != 0 && !v.replaced {
		t.Errorf("not in phase Watching for %v", v.away)
	}
	if v.sickness != nil {
		t.Errorf("unhealthy for %v: %v", v.sick, v.sickness)
	}
	page := v.log.page()
	switch {
	case v.timeout != 0:
		if v.log.len() != 1 || !strings.Contains(page, "rest.Config.Timeout") {
			t.Errorf("logged, want one line on rest.Config.Timeout:\n%s", page)
		}
	case page != "" && !v.replaced:
		t.Errorf("logged:\n%s", page)
	}
	// Two cuts teach the source when a proxy cuts.
	if learned := min(2, len(v.wire.cuts())); v.silent && v.scene.name == idle && status.Errors > learned {
		t.Errorf("%d errors, want at most %d, the last %v", status.Errors, learned, status.Err)
	}
	if cuts := v.wire.cuts(); v.uncut && len(cuts) != 0 {
		t.Errorf("%d watches were cut: %v", len(cuts), cuts)
	}
	if t.Failed() || *watches {
		t.Logf("%+v\n%s", status, v.wire)
	}
}

const tableHead = "| way, client, server | not Watching | unhealthy | log lines | watches | cut | resumes | relists | stalls | errors | changes after | first cut |\n" +
	"|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---|\n"

// row is the viewer's in the table of results.
func (v *viewer) row() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	status := v.source.Status()
	var after []string
	for _, a := range v.arrivals {
		after = append(after, fmt.Sprintf("%.2f s", a.Seconds()))
	}
	cuts, first := v.wire.cuts(), ""
	if len(cuts) != 0 {
		first = cuts[0]
	}
	return fmt.Sprintf("| %s | %.0f s | %.0f s | %d | %d | %d | %d | %d | %d | %d | %s | %s |\n", v.title(), v.away.Seconds(), v.sick.Seconds(),
		v.log.len(), v.wire.len(), len(cuts), status.Resumes, status.Relists, status.Stalls, status.Errors, strings.Join(after, ", "), first)
}

// A journal is what an operator finds in the log, debug messages left out.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) write(_, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, time.Now().Format("15:04:05 ")+line)
}

func (j *journal) page() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

func (j *journal) len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.lines)
}

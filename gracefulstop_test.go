// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// A batchLog has a line for each batch of a reader, with the time and the changes. The
// last line says when the sequence ended.
type batchLog struct {
	mu      sync.Mutex
	lines   []string
	batches []watchsource.Batch
}

// logBatches reads batches in a goroutine. handle, which may be nil, is the rest of the
// loop body.
func logBatches(ctx context.Context, store *watchsource.Store, interval time.Duration, handle func(watchsource.Batch)) *batchLog {
	log := &batchLog{}
	began := time.Now()
	go func() {
		for batch := range store.Batches(ctx, interval) {
			log.add(fmt.Sprintf("%v %s", time.Since(began), changeLines(batch.Changes)), batch)
			if handle != nil {
				handle(batch)
			}
		}
		log.add(fmt.Sprintf("%v end", time.Since(began)))
	}()
	return log
}

func (l *batchLog) add(line string, batches ...watchsource.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	l.batches = append(l.batches, batches...)
}

func (l *batchLog) last() watchsource.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.batches[len(l.batches)-1]
}

func (l *batchLog) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, want) {
		t.Errorf("batches\n%s\nwant\n%s", strings.Join(l.lines, "\n"), strings.Join(want, "\n"))
	}
}

// sleepOnce returns a loop body that takes a time for the first batch.
func sleepOnce(d time.Duration) func(watchsource.Batch) {
	var once sync.Once
	return func(watchsource.Batch) { once.Do(func() { time.Sleep(d) }) }
}

// The ways to end a loop over Batches.
var gracefulStops = []struct {
	name string
	stop func(cancel func(), source *watchsource.WatchSnapshotSource)
}{
	{name: "the context ends", stop: func(cancel func(), _ *watchsource.WatchSnapshotSource) { cancel() }},
	{name: "the source stops", stop: func(_ func(), source *watchsource.WatchSnapshotSource) { source.Stop() }},
	{name: "the context ends, then the source stops", stop: func(cancel func(), source *watchsource.WatchSnapshotSource) {
		cancel()
		source.Stop()
	}},
	{name: "the source stops, then the context ends", stop: func(cancel func(), source *watchsource.WatchSnapshotSource) {
		source.Stop()
		cancel()
	}},
}

// eachGracefulStop runs a test in a bubble, with executor 1 running in a started store.
func eachGracefulStop(t *testing.T, newSource modeltest.NewSource, opts []watchsource.StoreOption, test func(t *testing.T, ctx context.Context, server *watchtest.Server, store *watchsource.Store, source *watchsource.WatchSnapshotSource, stop func())) {
	for _, way := range gracefulStops {
		inBubble(t, way.name, func(t *testing.T) {
			server := watchtest.NewServer()
			server.Create(pod("1", phase(corev1.PodRunning)))
			store := watchsource.NewStore(opts...)
			source := startSource(t, newSource, server, store)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			test(t, ctx, server, store, source, func() { way.stop(cancel, source) })
		})
	}
}

// G4: when the context ends or the source stops, each reader is shown at once what waits
// for the end of its interval, and then the sequence ends.
func TestGuarantee4GracefulStop(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		eachGracefulStop(t, newSource, nil, func(t *testing.T, ctx context.Context, server *watchtest.Server, store *watchsource.Store, _ *watchsource.WatchSnapshotSource, stop func()) {
			atOnce := logBatches(ctx, store, 0, nil)
			second := logBatches(ctx, store, time.Second, nil)
			hour := logBatches(ctx, store, time.Hour, nil)
			time.Sleep(500 * time.Millisecond)
			server.Create(pod("2", phase(corev1.PodRunning)))
			time.Sleep(700 * time.Millisecond)
			server.Update("jobs", "exec-1", phase(corev1.PodFailed))
			synctest.Wait()
			server.Delete("jobs", "exec-2")
			time.Sleep(700 * time.Millisecond)
			stop()
			atOnce.want(t, "0s exec-1 nothing>Running", "500ms exec-2 nothing>Running", "1.2s exec-1 Running>Failed",
				"1.2s exec-2 Running>Deleted", "1.9s end")
			second.want(t, "0s exec-1 nothing>Running", "1s exec-2 nothing>Running", "1.9s exec-1 Running>Failed, exec-2 Running>Deleted",
				"1.9s end")
			hour.want(t, "0s exec-1 nothing>Running", "1.9s exec-2 nothing>Deleted, exec-1 Running>Failed", "1.9s end")
			for _, log := range []*batchLog{second, hour} {
				if last := log.last(); last.Full || names(last.Snapshot) != "exec-1=Failed" {
					t.Errorf("last batch: full %v, snapshot %q, want false, exec-1=Failed", last.Full, names(last.Snapshot))
				}
			}
		})
	})
}

// G4: a reader for which nothing waits is shown no empty batch at the end.
func TestGuarantee4GracefulStopWithoutChanges(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		eachGracefulStop(t, newSource, nil, func(t *testing.T, ctx context.Context, server *watchtest.Server, store *watchsource.Store, _ *watchsource.WatchSnapshotSource, stop func()) {
			var logs []*batchLog
			for _, interval := range []time.Duration{0, time.Second, time.Hour} {
				logs = append(logs, logBatches(ctx, store, interval, nil))
			}
			busy := logBatches(ctx, store, 0, sleepOnce(time.Minute))
			time.Sleep(10 * time.Second)
			stop()
			for _, log := range logs {
				log.want(t, "0s exec-1 nothing>Running", "10s end")
			}
			time.Sleep(time.Minute)
			busy.want(t, "0s exec-1 nothing>Running", "1m0s end")
		})
	})
}

// G4: a reader that is busy when its context ends or the source stops is shown what
// waits when it returns. A source that is started again in between does not change that.
func TestGuarantee4GracefulStopOfASlowReader(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		eachGracefulStop(t, newSource, nil, func(t *testing.T, ctx context.Context, server *watchtest.Server, store *watchsource.Store, source *watchsource.WatchSnapshotSource, stop func()) {
			var logs []*batchLog
			for _, interval := range []time.Duration{0, time.Hour} {
				logs = append(logs, logBatches(ctx, store, interval, sleepOnce(time.Minute)))
			}
			time.Sleep(time.Second)
			server.Update("jobs", "exec-1", phase(corev1.PodFailed))
			server.Delete("jobs", "exec-1")
			server.Create(pod("2"))
			synctest.Wait()
			stop()
			source.Stop()
			if backlogs := store.Backlogs(); len(backlogs) != 2 || backlogs[0].Changes != 3 {
				t.Errorf("backlogs %+v, want three changes for each of two readers", backlogs)
			}
			server.Create(pod("3", inApp("other")))
			start(t, source, "other")
			defer source.Stop()
			time.Sleep(2 * time.Minute)
			for _, log := range logs {
				log.want(t, "0s exec-1 nothing>Running", "1m0s exec-1 Running>Failed, exec-1 Failed>Deleted, exec-2 nothing>Pending", "1m0s end")
				if got := names(log.last().Snapshot); got != "exec-2=Pending" {
					t.Errorf("the last batch has the snapshot %q, want that of the Stop, exec-2=Pending", got)
				}
			}
			if backlogs := store.Backlogs(); len(backlogs) != 0 {
				t.Errorf("backlogs %+v after the readers have ended, want none", backlogs)
			}
		})
	})
}

// G4: the last batch of a reader whose backlog was dropped shows everything present when
// the source stopped, and counts what left.
func TestGuarantee4GracefulStopAfterADroppedBacklog(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		limit := []watchsource.StoreOption{watchsource.WithBacklogLimit(2)}
		eachGracefulStop(t, newSource, limit, func(t *testing.T, ctx context.Context, server *watchtest.Server, store *watchsource.Store, source *watchsource.WatchSnapshotSource, stop func()) {
			server.Create(pod("0", phase(corev1.PodFailed)))
			synctest.Wait()
			busy := logBatches(ctx, store, 0, sleepOnce(time.Minute))
			waiting := logBatches(ctx, store, time.Hour, nil)
			time.Sleep(time.Second)
			server.Update("jobs", "exec-1", phase(corev1.PodFailed))
			for _, id := range []string{"2", "3", "4"} {
				server.Create(pod(id))
			}
			server.Delete("jobs", "exec-4")
			synctest.Wait()
			stop()
			source.Stop()
			// Another application has an executor of the same name, which is no end of the first.
			server.Update("jobs", "exec-1", inApp("other"))
			server.Create(pod("9", inApp("other")))
			start(t, source, "other")
			defer source.Stop()
			time.Sleep(time.Minute)
			const present = "exec-0 nothing>Failed, exec-1 nothing>Failed, exec-2 nothing>Pending, exec-3 nothing>Pending"
			waiting.want(t, "0s exec-0 nothing>Failed, exec-1 nothing>Running", "1s "+present, "1s end")
			busy.want(t, "0s exec-0 nothing>Failed, exec-1 nothing>Running", "1m0s "+present, "1m0s end")
			for _, log := range []*batchLog{waiting, busy} {
				last := log.last()
				if !last.Full || last.Missed != 1 {
					t.Errorf("last batch: full %v, missed %d, want true, 1", last.Full, last.Missed)
				}
				if last.Changes[0].Ended || !last.Changes[1].Ended {
					t.Errorf("ends %v, %v of exec-0 and exec-1, want false, true: the first was shown before", last.Changes[0].Ended,
						last.Changes[1].Ended)
				}
			}
		})
	})
}

// G4: no reader misses a change that the store received before the source stopped, even
// if both happen at the same moment.
func TestGuarantee4GracefulStopAtTheMomentOfAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i := range 200 {
			store := watchsource.NewStore()
			store.UpdatePod(pod("1", phase(corev1.PodRunning)))
			ctx, cancel := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			for reader := range 8 {
				interval := time.Duration(reader%2) * time.Hour
				readers.Go(func() {
					ends := 0
					for batch := range store.Batches(ctx, interval) {
						for _, c := range batch.Changes {
							if c.Ended {
								ends++
							}
						}
					}
					if ends != 1 {
						t.Errorf("a reader with interval %v was shown %d ends, want 1", interval, ends)
					}
				})
			}
			synctest.Wait()
			store.UpdatePod(pod("1", phase(corev1.PodFailed)))
			if i%2 == 0 {
				store.ObserveStop()
			}
			cancel()
			readers.Wait()
		}
	})
}

// forwardingStore forwards only the calls that each SnapshotsStore has.
type forwardingStore struct{ watchsource.SnapshotsStore }

// If Stop ends a Start that has called the store, the store receives ObserveStop, and the
// readers and waiting calls end.
func TestStopDuringTheFirstCall(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		store, blocking := watchsource.NewStore(), &recordingStore{block: make(chan struct{})}
		source := newSource(watchsource.Tee(store, blocking), server.Client())
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if err := source.Start("app"); err != nil && !errors.Is(err, watchsource.ErrStopped) {
				t.Errorf("Start = %v, want nil or ErrStopped", err)
			}
		})
		synctest.Wait()
		log := logBatches(t.Context(), store, time.Second, nil)
		time.Sleep(time.Second)
		waiting.Go(source.Stop)
		synctest.Wait()
		close(blocking.block)
		waiting.Wait()
		log.want(t, "0s exec-1 nothing>Pending", "1s end")
		never := func(watchsource.Snapshot) bool { return false }
		if _, err := store.WaitFor(t.Context(), never); !errors.Is(err, watchsource.ErrStopped) {
			t.Errorf("WaitFor = %v, want ErrStopped", err)
		}
	})
}

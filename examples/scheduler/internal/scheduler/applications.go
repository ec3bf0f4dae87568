// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/executorpods/watchsource"
)

// runApplications runs several applications on one SharedWatch. Each has a store, a source and a
// backend, which do not know of the others. A program that does not start its applications
// itself, as an operator, uses a StoreBy instead: one source, and a snapshot for each owner that
// the pods name.
func runApplications(ctx context.Context, cfg config, cluster *cluster, report *report) error {
	shared := watchsource.NewSharedWatch(cluster.client, watchsource.WithNamespace(cfg.namespace))
	report.out = &lockedWriter{out: report.out}
	report.printf("%d applications want %d executors each in namespace %s on %s", cfg.apps, cfg.executors, cfg.namespace, cluster.name)
	if cfg.http != "" {
		stop, err := serveHTTP(cfg.http, newHandler(shared, nil))
		if err != nil {
			return err
		}
		defer stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, cfg.apps)
	var running sync.WaitGroup
	for i := range cfg.apps {
		one := cfg
		one.appID = fmt.Sprintf("%s-%d", cfg.appID, i+1)
		manager := clusterManager{config: one, client: cluster.client, report: report.named(one.appID), shared: shared}
		backend := manager.createBackend()
		if err := backend.start(ctx); err != nil {
			cancel() // those that run stop, and delete their pods
			running.Wait()
			return err
		}
		running.Go(func() { errs[i] = backend.runToTheEnd(ctx) })
	}
	running.Wait()
	report.printf("one watch for %d applications: %s", cfg.apps, describeWatch(shared.Status()))
	return errors.Join(errs...)
}

// runToTheEnd runs an application that has started, and stops it.
func (b *schedulerBackend) runToTheEnd(ctx context.Context) error {
	err := b.run(ctx)
	b.stop()
	b.report.summary()
	if err != nil {
		return fmt.Errorf("application %s: %w", b.config.appID, err)
	}
	return nil
}

// lockedWriter is a writer for several goroutines.
type lockedWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}

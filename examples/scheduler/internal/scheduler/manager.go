// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
)

// runApplication runs one application, on any cluster. Its watch is not shared.
func runApplication(ctx context.Context, cfg config, client kubernetes.Interface, report *report) error {
	manager := clusterManager{config: cfg, client: client, report: report}
	backend := manager.createBackend()
	if cfg.http != "" {
		var metrics http.Handler
		if cfg.views.Metrics != nil {
			metrics = cfg.views.Metrics(backend.source, backend.store)
		}
		stop, err := serveHTTP(cfg.http, newHandler(backend.source, metrics))
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := backend.start(ctx); err != nil {
		return err
	}
	var err error
	if cfg.ui {
		err = runWithScreen(ctx, cfg, backend)
	} else {
		err = backend.run(ctx)
	}
	backend.stop()
	report.summary()
	return err
}

// runWithScreen shows the screen while the backend runs. The end of one ends the other.
func runWithScreen(ctx context.Context, cfg config, backend *schedulerBackend) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	backend.report.hide()
	var showing sync.WaitGroup
	var screenErr error
	showing.Go(func() {
		defer cancel()
		screenErr = cfg.views.Screen(ctx, cfg.appID, cfg.namespace, backend.source, backend.store)
	})
	err := backend.run(ctx)
	cancel()
	showing.Wait()
	backend.report.show()
	return errors.Join(err, screenErr)
}

// clusterManager creates and connects the parts of a scheduler. Its model is Spark's
// KubernetesClusterManager.
type clusterManager struct {
	config config
	client kubernetes.Interface
	report *report
	shared *watchsource.SharedWatch // of several applications, or nil
}

func (m clusterManager) createBackend() *schedulerBackend {
	store := watchsource.NewStore(watchsource.WithBacklogLimit(backlogLimit))
	pods := m.client.CoreV1().Pods(m.config.namespace)
	allocator := newAllocator(m.config, pods)
	return &schedulerBackend{
		config:    m.config,
		report:    m.report,
		pods:      pods,
		store:     store,
		source:    m.createSource(store),
		allocator: allocator,
		lifecycle: newLifecycle(m.config.maxFailures, pods, allocator, m.report),
	}
}

// createSource returns a source of the shared watch, or one that opens a watch. The rest of
// the scheduler sees no difference.
func (m clusterManager) createSource(store *watchsource.Store) *watchsource.WatchSnapshotSource {
	if m.shared != nil {
		return m.shared.Source(store)
	}
	return watchsource.NewWatchSnapshotSource(store, m.client, watchsource.WithNamespace(m.config.namespace))
}

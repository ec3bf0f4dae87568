// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
)

// runApplication runs one application, on any cluster.
func runApplication(ctx context.Context, cfg config, client kubernetes.Interface, report *report) error {
	manager := clusterManager{config: cfg, client: client, report: report}
	backend := manager.createBackend()
	if cfg.http != "" {
		stop, err := serveHealth(cfg.http, backend.source)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := backend.start(ctx); err != nil {
		return err
	}
	err := backend.run(ctx)
	backend.stop()
	report.summary()
	return err
}

// clusterManager creates and connects the parts of a scheduler. Its model is Spark's
// KubernetesClusterManager.
type clusterManager struct {
	config config
	client kubernetes.Interface
	report *report
}

func (m clusterManager) createBackend() *schedulerBackend {
	store := watchsource.NewStore(watchsource.WithBacklogLimit(backlogLimit))
	source := watchsource.NewWatchSnapshotSource(store, m.client,
		watchsource.WithNamespace(m.config.namespace),
		watchsource.WithTrimmedPods()) // the scheduler reads the status of the pods, not their spec

	pods := m.client.CoreV1().Pods(m.config.namespace)
	allocator := newAllocator(m.config, pods)
	return &schedulerBackend{
		config:    m.config,
		report:    m.report,
		pods:      pods,
		store:     store,
		source:    source,
		allocator: allocator,
		lifecycle: newLifecycle(m.config.maxFailures, pods, allocator, m.report),
	}
}

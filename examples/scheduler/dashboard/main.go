// SPDX-License-Identifier: Apache-2.0

// Command dashboard is the scheduler of the examples with a live screen (-ui) and with
// metrics for Prometheus (-http). It is a module, because it needs more libraries than
// the scheduler.
package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/examples/scheduler/internal/scheduler"
	"github.com/executorpods/watchsource/kubectl/application"
	"github.com/executorpods/watchsource/kubectl/screen"
	"github.com/executorpods/watchsource/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C cleans up, and a second one ends the program at once
	os.Exit(scheduler.Run(ctx, os.Args[1:], os.Stdout, os.Stderr, scheduler.Views{Metrics: metricsHandler, Screen: showScreen}))
}

func metricsHandler(source *watchsource.WatchSnapshotSource, store *watchsource.Store) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(source, store))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

func showScreen(ctx context.Context, appID, namespace string, source *watchsource.WatchSnapshotSource, store *watchsource.Store) error {
	return screen.Run(ctx, screen.Config{AppID: appID, Namespace: namespace, Source: source, Store: application.ReaderOf(appID, store)})
}

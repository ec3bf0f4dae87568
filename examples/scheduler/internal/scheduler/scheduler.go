// SPDX-License-Identifier: Apache-2.0

// Package scheduler is the scheduler of the examples.
//
// Read it in this order: manager.go (construction), backend.go (the loop),
// lifecycle.go (the meaning of changes), allocator.go (the creation of executors),
// applications.go (several applications on one watch). The types are named after their
// models in Spark on Kubernetes.
package scheduler

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/executorpods/watchsource"
)

// Views are what another module adds to the scheduler, because it needs more libraries than
// this one may have. Each may be nil.
type Views struct {
	// Metrics returns the handler of /metrics.
	Metrics func(*watchsource.WatchSnapshotSource, *watchsource.Store) http.Handler
	// Screen shows the executors of an application in a terminal, until the user quits or
	// ctx ends.
	Screen func(ctx context.Context, appID, namespace string, source *watchsource.WatchSnapshotSource, store *watchsource.Store) error
}

// Run runs the program and returns its exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer, views Views) int {
	cfg, err := parseFlags(args, stderr, views)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parseFlags has printed the error
	}
	logs := stderr
	if cfg.ui {
		logs = io.Discard // lines would destroy the screen, which shows the state of the watch
	}
	// Without WithLogger, the library logs to the default slog logger.
	slog.SetDefault(slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: cfg.logLevel})))

	if err := schedule(ctx, cfg, stdout); err != nil {
		fmt.Fprintln(stderr, "scheduler:", err)
		return 1
	}
	return 0
}

func schedule(ctx context.Context, cfg config, stdout io.Writer) error {
	cluster, err := connect(cfg)
	if err != nil {
		return err
	}
	defer cluster.close()
	cfg.namespace = cluster.namespace

	report := newReport(stdout)
	if cfg.apps > 1 {
		return runApplications(ctx, cfg, cluster, report)
	}
	report.printf("application %s wants %d executors in namespace %s on %s", cfg.appID, cfg.executors, cfg.namespace, cluster.name)
	return runApplication(ctx, cfg, cluster.client, report)
}

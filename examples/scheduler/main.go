// SPDX-License-Identifier: Apache-2.0

// Command scheduler shows how a scheduler uses watchsource. It keeps a number of executor
// pods alive for an application, replaces those that fail or vanish, gives up after too many
// failures, and deletes its pods at the end.
//
// Without flags it runs on a small cluster inside the process, so you need to install
// nothing. With -kubeconfig, or in a pod, it runs on a real cluster. The scheduler is the
// same in both cases.
//
// Read it in this order: manager.go (construction), backend.go (the loop),
// lifecycle.go (the meaning of changes), allocator.go (the creation of executors). The
// types are named after their models in Spark on Kubernetes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C cleans up, and a second one ends the program at once
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command runs the program and returns its exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parseFlags has printed the error
	}
	// Without WithLogger, the library logs to the default slog logger.
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: cfg.logLevel})))

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
	report.printf("application %s wants %d executors in namespace %s on %s", cfg.appID, cfg.executors, cfg.namespace, cluster.name)
	return runApplication(ctx, cfg, cluster.client, report)
}

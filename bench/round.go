// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// roundTimeout is far above what any consumer needs for 100,000 pods.
const roundTimeout = 5 * time.Minute

// runRound measures one consumer once, against a new server, so that nothing is left from
// the round before.
func runRound(ctx context.Context, consumer string, p plan, flush, dir string) (f figures, q requests, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	kubeconfig := filepath.Join(dir, "replay.kubeconfig")
	size := []string{
		"-pods", strconv.Itoa(p.pods), "-updates", strconv.Itoa(p.updates), "-apps", strconv.Itoa(max(p.apps, 1)),
		"-kind", p.kind, "-kubeconfig", kubeconfig,
	}

	serverArgs := append([]string{serveCommand, "-flush", flush}, size...)
	if consumer == spark.name {
		serverArgs = append(serverArgs, "-warm-up", strconv.Itoa(sparkWarmUp))
	}
	server, err := startChild(ctx, "replay server", serverArgs...)
	if err != nil {
		return f, q, err
	}
	defer server.kill()
	if err := server.awaitReady(); err != nil {
		return f, q, err
	}
	process, err := p.start(ctx, consumer, kubeconfig, size)
	if err != nil {
		return f, q, err
	}
	defer process.kill()
	update := func() error { return server.say("updates") }
	if consumer == spark.name {
		if err := warmUp(process, update); err != nil {
			return f, q, err
		}
	}
	f, err = measure(process, update)
	if err != nil {
		return f, q, err
	}
	if err := server.hush(); err != nil {
		return f, q, err
	}
	if err := server.result(&q); err != nil {
		return f, q, err
	}
	return f, q, server.end()
}

// start starts the process of a consumer.
func (p plan) start(ctx context.Context, consumer, kubeconfig string, size []string) (*child, error) {
	if consumer == spark.name {
		return startSpark(ctx, p.sparkwatch, assignment{kubeconfig: kubeconfig, pods: p.pods, updates: p.updates})
	}
	return startConsumer(ctx, append([]string{"-consumer", consumer}, size...)...)
}

// startConsumer starts the process of a consumer.
func startConsumer(ctx context.Context, args ...string) (*child, error) {
	return startChild(ctx, "consumer "+args[1], append([]string{consumeCommand}, args...)...)
}

// warmUp lets the process of the consumer spark receive updates before it is measured. The
// process is ready a second time when it has seen the marker after them.
func warmUp(process *child, update func() error) error {
	if err := process.awaitReady(); err != nil {
		return err
	}
	if err := update(); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return nil
}

// measure returns the figures of a consumer's process. It calls begin when the consumer's
// view is complete.
func measure(process *child, begin func() error) (f figures, err error) {
	if err := process.awaitReady(); err != nil {
		return f, err
	}
	if err := begin(); err != nil {
		return f, fmt.Errorf("begin the updates: %w", err)
	}
	if err := process.result(&f); err != nil {
		return f, err
	}
	return f, process.end()
}

// SPDX-License-Identifier: Apache-2.0

// Command scheduler shows how a scheduler uses watchsource. It keeps a number of executor
// pods alive for an application, replaces those that fail or vanish, gives up after too many
// failures, and deletes its pods at the end.
//
// Without flags it runs on a small cluster inside the process, so you need to install
// nothing. With -kubeconfig, or in a pod, it runs on a real cluster. The scheduler is the
// same in both cases. Its code is in internal/scheduler. The module dashboard adds a live
// screen and metrics.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/executorpods/watchsource/examples/scheduler/internal/scheduler"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C cleans up, and a second one ends the program at once
	os.Exit(scheduler.Run(ctx, os.Args[1:], os.Stdout, os.Stderr, scheduler.Views{}))
}

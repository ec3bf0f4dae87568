// SPDX-License-Identifier: Apache-2.0

// Command kubectl-executors is a kubectl plugin that shows the executors of Spark-like
// applications: in a terminal a screen that is updated in place, elsewhere a table.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/executorpods/watchsource/kubectl/command"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the cloud providers' credentials
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(command.Run(ctx, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
}

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
	ctx := untilSignal(syscall.SIGINT, syscall.SIGTERM)
	os.Exit(command.Run(ctx, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
}

// untilSignal returns a context that the first of the signals ends. A second one ends the program
// at once.
func untilSignal(signals ...os.Signal) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	received := make(chan os.Signal, 1)
	signal.Notify(received, signals...)
	go func() {
		first := <-received
		signal.Stop(received)
		number, _ := first.(syscall.Signal)
		cancel(command.Interrupted{Signal: number})
	}()
	return ctx
}

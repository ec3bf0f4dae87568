// SPDX-License-Identifier: Apache-2.0

// Command minimal prints the ends of an application's executors until Ctrl-C. It finds the cluster as
// kubectl does, or in a pod by the service account. Copy it as the beginning of your program.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/executorpods/watchsource"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	namespace := flag.String("namespace", "", "`namespace` of the executors; by default all, which needs a ClusterRole")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: minimal [flags] APP"); flag.PrintDefaults() }
	if flag.Parse(); flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	exitOn(err, fmt.Sprintf("found no cluster, set KUBECONFIG or run in a pod; looked at %v:", clientcmd.NewDefaultClientConfigLoadingRules().Precedence))
	client, err := kubernetes.NewForConfig(config)
	exitOn(err)
	exitOn(follow(ctx, client, *namespace, flag.Arg(0), os.Stdout))
}

func exitOn(err error, doing ...any) {
	if err != nil {
		log.Fatalln(append(doing, err)...)
	}
}

// follow prints each end to out, and returns when ctx ends or the watch cannot start.
func follow(ctx context.Context, client kubernetes.Interface, namespace, appID string, out io.Writer) error {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace(namespace))
	result := make(chan error, 1)
	reading, stop := context.WithCancel(context.Background())
	go func() { defer stop(); result <- source.Run(ctx, appID) }() // stop: if Start fails, no source ends the loop
	for batch := range store.Batches(reading, time.Second) {
		for _, change := range batch.Changes {
			if e := change.After; change.Ended {
				fmt.Fprintln(out, e.Name, e.State, e.ExitCode, e.Reason)
			}
		}
	}
	return <-result
}

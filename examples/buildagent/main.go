// SPDX-License-Identifier: Apache-2.0

// Command buildagent prints why the pods of a Job do not begin: failed init containers and long waits.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/executorpods/watchsource"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	namespace := flag.String("namespace", "default", "`namespace` of the Job")
	limit := flag.Duration("limit", 5*time.Minute, "`time` that a pod may be pending")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: buildagent [flags] JOB"); flag.PrintDefaults() }
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
	exitOn(watch(ctx, client, *namespace, flag.Arg(0), *limit, os.Stdout))
}

func exitOn(err error, doing ...any) {
	if err != nil {
		log.Fatalln(append(doing, err)...)
	}
}

// watch prints each trouble once, and returns when ctx ends or the watch cannot start.
func watch(ctx context.Context, client kubernetes.Interface, namespace, job string, limit time.Duration, out io.Writer) error {
	store := watchsource.NewStore(watchsource.WithExecutorIDLabel(""), watchsource.WithExecutorContainerFunc(func(names []string) string { return names[0] }))
	ofJob := func(job string) labels.Selector { return labels.Set{batchv1.JobNameLabel: job}.AsSelector() }
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace(namespace), watchsource.WithSelector(ofJob))
	if err := source.Start(job); err != nil {
		return err
	}
	defer source.Stop()
	defer context.AfterFunc(ctx, source.Stop)() // ends the batches
	batches := make(chan watchsource.Batch)
	go func() {
		defer close(batches)
		for batch := range store.Batches(context.Background(), time.Second) {
			batches <- batch
		}
	}()
	p := printer{out, map[string]bool{}}
	for tick := time.Tick(10 * time.Second); ; {
		select {
		case batch, more := <-batches:
			if !more {
				return nil
			}
			for _, change := range batch.Changes {
				p.printFailures(change.After)
			}
		case now := <-tick: // a pod that is stuck does not change
			for e := range store.Snapshot().All() {
				if e.State == watchsource.Pending && now.Sub(e.CreatedAt) >= limit {
					p.printPending(e, limit)
				}
			}
		}
	}
}

type printer struct {
	out     io.Writer
	printed map[string]bool
}

func (p printer) print(format string, args ...any) {
	if line := strings.TrimSpace(fmt.Sprintf(format, args...)); !p.printed[line] {
		p.printed[line] = true
		fmt.Fprintln(p.out, line)
	}
}

// printFailures prints the init containers that have failed, also those of a pod that was deleted since.
func (p printer) printFailures(e *watchsource.Executor) {
	pod, _ := e.Pod() // fails only with WithoutPods
	for _, s := range pod.Status.InitContainerStatuses {
		for _, end := range []*corev1.ContainerStateTerminated{s.LastTerminationState.Terminated, s.State.Terminated} {
			if end != nil && end.ExitCode != 0 {
				p.print("%s: init container %s has failed: exit code %d, %s", e.Name, s.Name, end.ExitCode, end.Reason)
			}
		}
	}
}

// printPending also prints the containers that wait, but not those that wait for others.
func (p printer) printPending(e watchsource.Executor, limit time.Duration) {
	p.print("%s is pending for %v: %s %s", e.Name, limit, e.Reason, e.Message)
	pod, _ := e.Pod()
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := s.State.Waiting; w != nil && w.Reason != "PodInitializing" {
			p.print("%s: container %s waits: %s %s", e.Name, s.Name, w.Reason, w.Message)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

// Command handlers calls informer handlers with the pods of an application until Ctrl-C. It is for
// code that already has a cache.ResourceEventHandler: only the informer is replaced.
//
// The handlers are called as by an informer, one at a time, and OnDelete always gets a pod: there is
// no cache.DeletedFinalStateUnknown. Each call gets its own copy, which it may change. States of a
// pod between two batches are merged, ends are not. There is no resync.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/executorpods/watchsource"
)

func main() {
	namespace := flag.String("namespace", "", "`namespace` of the executors; by default all, which needs a ClusterRole")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: handlers [flags] APP"); flag.PrintDefaults() }
	if flag.Parse(); flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	exitOn(err, fmt.Sprintf("found no cluster, set KUBECONFIG or run in a pod; looked at %v:", rules.Precedence))
	client, err := kubernetes.NewForConfig(config)
	exitOn(err)
	exitOn(handle(ctx, client, *namespace, flag.Arg(0), printer))
}

func exitOn(err error, doing ...any) {
	if err != nil {
		log.Fatalln(append(doing, err)...)
	}
}

// printer stands for the handlers that you have.
var printer = cache.ResourceEventHandlerFuncs{
	AddFunc:    func(obj any) { fmt.Println("added", obj.(*corev1.Pod).Name) },
	UpdateFunc: func(_, obj any) { fmt.Println("updated", obj.(*corev1.Pod).Name, obj.(*corev1.Pod).Status.Phase) },
	DeleteFunc: func(obj any) { fmt.Println("deleted", obj.(*corev1.Pod).Name) },
}

// handle calls the handlers until ctx ends. It replaces AddEventHandler, Run and WaitForCacheSync: if
// the watch cannot start, it returns the reason.
func handle(ctx context.Context, client kubernetes.Interface, namespace, appID string, handlers cache.ResourceEventHandler) error {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace(namespace))
	if err := source.Start(appID); err != nil {
		return err
	}
	defer source.Stop()
	defer context.AfterFunc(ctx, source.Stop)() // the loop then gets what waits, and ends
	for batch := range store.Batches(context.Background(), time.Second) {
		for _, change := range batch.Changes {
			if err := call(handlers, change, batch.Full); err != nil {
				return err
			}
		}
	}
	return nil
}

// call calls the handlers for one change. A pod that was created and deleted since the last batch is
// added and deleted. Pod fails only for a store that was made with WithoutPods.
func call(handlers cache.ResourceEventHandler, change watchsource.Change, isInInitialList bool) error {
	pod, err := change.After.Pod()
	if err != nil {
		return err
	}
	isDeleted := change.After.State == watchsource.Deleted
	switch {
	case change.Before == nil && isDeleted:
		handlers.OnAdd(pod.DeepCopy(), isInInitialList)
	case change.Before == nil:
		handlers.OnAdd(pod, isInInitialList)
	case !isDeleted:
		before, err := change.Before.Pod()
		if err != nil {
			return err
		}
		handlers.OnUpdate(before, pod)
	}
	if isDeleted {
		handlers.OnDelete(pod)
	}
	return nil
}

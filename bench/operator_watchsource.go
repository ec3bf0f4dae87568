// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
)

// addWatch adds a controller that counts the executors in the view of this library, and gets their
// ends.
func addWatch(m manager.Manager, r *reconciler) error {
	client, err := kubernetes.NewForConfigAndClient(m.GetConfig(), m.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	job := batchv1.SchemeGroupVersion.WithKind("Job").GroupKind()
	watch := controller.New(client, controller.ByControllerOf(job), controller.Options{
		Selector: executorSelector,
		Source:   []watchsource.Option{watchsource.WithNamespace(namespace)},
	})
	source := watch.Source()
	count := source.Reconciler(func(ctx context.Context, owner reconcile.Request, look controller.Look) (reconcile.Result, error) {
		return r.reconcile(ctx, owner.NamespacedName, countExecutors(look.Snapshot))
	})
	return newController(m).WatchesRawSource(source).Complete(count)
}

func countExecutors(s watchsource.Snapshot) workerCounts {
	return workerCounts{
		pending: s.Count(watchsource.Pending), running: s.Count(watchsource.Running),
		succeeded: s.Count(watchsource.Succeeded), failed: s.Count(watchsource.Failed),
	}
}

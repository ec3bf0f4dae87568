// SPDX-License-Identifier: Apache-2.0

package workerjob

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	crcontroller "sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
)

// NewWatch returns a watch of the pods of all WorkerJobs.
func NewWatch(client kubernetes.Interface, options ...watchsource.Option) *controller.Watch[reconcile.Request] {
	hasJob, err := labels.NewRequirement(LabelJob, selection.Exists, nil)
	if err != nil {
		panic(err) // the key is a constant
	}
	return controller.New(client, controller.ByControllerOf(Kind.GroupKind()), controller.Options{
		Selector: labels.NewSelector().Add(*hasJob),
		Source:   options,
		Store: []watchsource.StoreOption{
			watchsource.WithExecutorIDLabel(LabelIndex),
			watchsource.WithExecutorContainerFunc(func(names []string) string { return names[0] }),
		},
	})
}

// Setup adds the controller of WorkerJobs to a manager.
func Setup(mgr manager.Manager, pods *controller.Watch[reconcile.Request]) error {
	if err := mgr.AddHealthzCheck("pods", pods.Healthz); err != nil {
		return err
	}
	source := pods.Source()
	reconciler := &Reconciler{Client: pods.Client(mgr.GetClient()), Live: mgr.GetAPIReader(), Pods: pods}
	return builder.ControllerManagedBy(mgr).
		// The status is written by this controller only, and does not change the generation.
		For(&WorkerJob{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source).
		WithOptions(crcontroller.Options{MaxConcurrentReconciles: 4}).
		Complete(source.Reconciler(reconciler.Reconcile))
}

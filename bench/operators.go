// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	runtimecache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource"
)

// An operator is one way to write the same operator. README.md says what each does.
type operator struct {
	name  string // on the command line
	title string // in tables

	// add adds a controller that calls the reconciler to a manager.
	add func(m manager.Manager, r *reconciler) error

	leanCache bool // the manager's cache drops managedFields, and lists pods without copying them
}

// The operators that others are compared with.
const (
	rateLimitedName = "rate-limited"
	ownsName        = "owns"
)

// operators are in the order of the table.
var operators = []operator{
	{name: rateLimitedName, title: "cache of pods, AddRateLimited for each event", add: addRateLimited},
	{name: ownsName, title: "cache of pods, Owns", add: addOwns},
	{name: "owns-lean", title: "cache without managedFields and copies, Owns", add: addOwns, leanCache: true},
	{name: "watchsource", title: "watchsource, module controller", add: addWatch},
}

func operatorNamed(name string) (operator, error) {
	i := slices.IndexFunc(operators, func(o operator) bool { return o.name == name })
	if i < 0 {
		return operator{}, fmt.Errorf("there is no operator %q, only %s", name, strings.Join(operatorNames(), ", "))
	}
	return operators[i], nil
}

func operatorNames() (names []string) {
	for _, o := range operators {
		names = append(names, o.name)
	}
	return names
}

// newManager returns the manager of an operator. Its cache of pods begins when a controller asks
// for it. It gets a REST mapper, so that it need not ask the server for all kinds.
func newManager(config *rest.Config, leanCache bool) (manager.Manager, error) {
	pods := runtimecache.ByObject{Label: executorSelector, Namespaces: map[string]runtimecache.Config{namespace: {}}}
	if leanCache {
		pods.Transform, pods.UnsafeDisableDeepCopy = runtimecache.TransformStripManagedFields(), new(true)
	}
	return manager.New(config, manager.Options{
		Scheme:  scheme.Scheme,
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:   runtimecache.Options{ByObject: map[client.Object]runtimecache.ByObject{&corev1.Pod{}: pods}},
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) {
			mapper := meta.NewDefaultRESTMapper(nil)
			mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
			mapper.Add(corev1.SchemeGroupVersion.WithKind("PodList"), meta.RESTScopeNamespace)
			mapper.Add(batchv1.SchemeGroupVersion.WithKind("Job"), meta.RESTScopeNamespace)
			return mapper, nil
		},
	})
}

// newController begins a controller with the options of spark-operator.
func newController(m manager.Manager) *builder.Builder {
	return builder.ControllerManagedBy(m).Named("owners").WithOptions(controller.Options{MaxConcurrentReconciles: 10, RateLimiter: newRateLimiter()})
}

// newRateLimiter returns the limiter of spark-operator: a delay for each owner that doubles until
// the owner has been reconciled, and a bucket of 100 tokens for all owners, which gets ten a second.
func newRateLimiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedMaxOfRateLimiter(
		workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](5*time.Millisecond, 1000*time.Second),
		&workqueue.TypedBucketRateLimiter[reconcile.Request]{Limiter: rate.NewLimiter(10, 100)},
	)
}

// addRateLimited adds a controller that enqueues the owner of each event by AddRateLimited.
func addRateLimited(m manager.Manager, r *reconciler) error {
	return addUsual(m, r, rateLimitedHandler())
}

// rateLimitedHandler enqueues the owner of an event as spark-operator does. The events of the
// initial list are different: they take no tokens, so that the bucket is full when the scenario begins.
func rateLimitedHandler() handler.Funcs {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			if e.IsInInitialList {
				q.Add(requestFor(e.Object))
				return
			}
			q.AddRateLimited(requestFor(e.Object))
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { q.AddRateLimited(requestFor(e.ObjectNew)) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { q.AddRateLimited(requestFor(e.Object)) },
	}
}

// requestFor returns the request for the owner of a pod.
func requestFor(pod client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{
		Namespace: pod.GetNamespace(), Name: pod.GetLabels()[watchsource.LabelApp],
	}}
}

// addOwns adds a controller that enqueues owners as Owns does.
func addOwns(m manager.Manager, r *reconciler) error {
	return addUsual(m, r, handler.EnqueueRequestForOwner(m.GetScheme(), m.GetRESTMapper(), &batchv1.Job{}, handler.OnlyControllerOwner()))
}

// addUsual adds a controller that counts the pods in the manager's cache.
func addUsual(m manager.Manager, r *reconciler, h handler.EventHandler) error {
	count := reconcile.Func(func(ctx context.Context, owner reconcile.Request) (reconcile.Result, error) {
		counts, err := countPods(ctx, m.GetClient(), owner.NamespacedName)
		if err != nil {
			return reconcile.Result{}, fmt.Errorf("count the pods of %s: %w", owner, err)
		}
		return r.reconcile(ctx, owner.NamespacedName, counts)
	})
	return newController(m).Watches(&corev1.Pod{}, h).Complete(count)
}

// countPods lists the pods of an owner by its label, and counts them by their phase.
func countPods(ctx context.Context, pods client.Reader, owner types.NamespacedName) (c workerCounts, err error) {
	var list corev1.PodList
	if err := pods.List(ctx, &list, client.InNamespace(owner.Namespace), client.MatchingLabels{watchsource.LabelApp: owner.Name}); err != nil {
		return c, err
	}
	for i := range list.Items {
		switch list.Items[i].Status.Phase {
		case corev1.PodPending:
			c.pending++
		case corev1.PodRunning:
			c.running++
		case corev1.PodSucceeded:
			c.succeeded++
		case corev1.PodFailed:
			c.failed++
		}
	}
	return c, nil
}

// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crcontroller "sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
	"github.com/executorpods/watchsource/watchtest"
)

// workerPod is a pod of a job. It has ended with an exit code, or runs if that is negative.
func workerPod(job, name string, exitCode int32) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "jobs", "job": job}},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "worker"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if exitCode >= 0 {
		pod.Status.Phase = corev1.PodFailed
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "worker", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode}},
		}}
	}
	return pod
}

// newWatch returns a watch of the pods of jobs.
func newWatch(server *watchtest.Server) *controller.Watch[reconcile.Request] {
	return controller.New(server.Client(), controller.ByLabel("job"), controller.Options{
		Selector: labels.SelectorFromSet(labels.Set{"app": "jobs"}),
		Store:    []watchsource.StoreOption{watchsource.WithExecutorIDLabel("")},
	})
}

// started returns a source that a controller has started.
func started(ctx context.Context, watch *controller.Watch[reconcile.Request]) *controller.Source[reconcile.Request] {
	source := watch.Source()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	context.AfterFunc(ctx, queue.ShutDown)
	if err := source.Start(ctx, queue); err != nil {
		panic(err)
	}
	if err := source.WaitForSync(ctx); err != nil {
		panic(err)
	}
	queue.Get() // the view has the first owner
	return source
}

// A controller reconciles a job once for all changes of its pods. With a manager, use a builder:
//
//	ctrl.NewControllerManagedBy(mgr).For(&Job{}).WatchesRawSource(source).Complete(source.Reconciler(reconcileJob))
func ExampleNew() {
	server := watchtest.NewServer() // in place of a cluster
	server.Create(workerPod("nightly", "nightly-0", -1))
	server.Create(workerPod("nightly", "nightly-1", 3))

	source := newWatch(server).Source()
	reconciled := make(chan struct{})
	reconcileJob := func(_ context.Context, job reconcile.Request, look controller.Look) (reconcile.Result, error) {
		fmt.Println(job.Name, "has", look.Snapshot.Count(watchsource.Running), "running workers")
		for _, change := range look.Ends {
			fmt.Println(change.After.Name, "has ended with exit code", change.After.ExitCode)
		}
		close(reconciled)
		return reconcile.Result{}, nil
	}
	c, err := crcontroller.NewUnmanaged("jobs", crcontroller.Options{Reconciler: source.Reconciler(reconcileJob), Logger: logr.Discard()})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Watch(source); err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go c.Start(ctx)
	<-reconciled
	// Output:
	// nightly has 1 running workers
	// nightly-1 has ended with exit code 3
}

// The owner of a pod is the object that its controller reference names.
func ExampleByControllerOf() {
	owner := controller.ByControllerOf(schema.GroupKind{Group: "example.com", Kind: "Job"})
	pod := workerPod("", "nightly-0", -1)
	pod.Namespace = "team-a"
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Job", Name: "nightly", Controller: new(true)}}
	fmt.Println(owner(pod))

	pod.OwnerReferences[0].Kind = "Service"
	_, ok := owner(pod)
	fmt.Println(ok)
	// Output:
	// team-a/nightly true
	// false
}

// The owner of a pod is named by a label.
func ExampleByLabel() {
	owner := controller.ByLabel("job")
	pod := workerPod("nightly", "nightly-0", -1)
	pod.Namespace = "team-a"
	fmt.Println(owner(pod))
	// Output: team-a/nightly true
}

// A reconciler that takes the look of an owner itself acknowledges it when the ends are recorded.
func ExampleSource_Of() {
	server := watchtest.NewServer() // in place of a cluster
	server.Create(workerPod("nightly", "nightly-0", 137))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	source := started(ctx, newWatch(server)) // a controller does that

	job := reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: "nightly"}}
	look := source.Of(job)
	fmt.Println(len(look.Ends), "ends")
	fmt.Println(len(source.Of(job).Ends), "ends again")
	look.Acknowledge()
	fmt.Println(len(source.Of(job).Ends), "ends after that")
	// Output:
	// 1 ends
	// 1 ends again
	// 0 ends after that
}

// All code that reads pods with the manager's client reads the view.
func ExampleWatch_Client() {
	server := watchtest.NewServer() // in place of a cluster
	server.Create(workerPod("nightly", "nightly-0", -1))
	watch := newWatch(server)
	options := ctrl.Options{
		NewClient: func(config *rest.Config, options client.Options) (client.Client, error) {
			c, err := client.New(config, options)
			return watch.Client(c), err
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started(ctx, watch) // a controller does that

	c, err := options.NewClient(server.Config(), client.Options{}) // a manager does that
	if err != nil {
		fmt.Println(err)
		return
	}
	var pods corev1.PodList
	err = c.List(ctx, &pods, client.InNamespace("default"), client.MatchingLabels{"job": "nightly"})
	fmt.Println(len(pods.Items), "pods", err)
	// Output: 1 pods <nil>
}

// The probes of a manager whose webhook reads the view:
//
//	mgr.AddHealthzCheck("pods", watch.Healthz)
//	mgr.AddReadyzCheck("pods", watch.Readyz)
func ExampleWatch_Healthz() {
	watch := newWatch(watchtest.NewServer())
	fmt.Println("healthz:", watch.Healthz(nil))
	fmt.Println("readyz:", watch.Readyz(nil))

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go watch.Start(ctx) // with a manager: mgr.Add(watch)
	var none reconcile.Request
	_, err := watch.Store().WaitFor(ctx, none, func(s watchsource.Snapshot) bool { return s.Complete() })
	fmt.Println("complete:", err)
	fmt.Println("healthz:", watch.Healthz(nil))
	fmt.Println("readyz:", watch.Readyz(nil))
	// Output:
	// healthz: <nil>
	// readyz: watchsource: the view of the pods is not complete yet
	// complete: <nil>
	// healthz: <nil>
	// readyz: <nil>
}

// A webhook of a replica that does not lead counts the pods of a job. The manager opens the watch
// without the lease: mgr.Add(watch).
func ExampleWatch_Start() {
	server := watchtest.NewServer() // in place of a cluster
	server.Create(workerPod("nightly", "nightly-0", -1))
	watch := newWatch(server)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go watch.Start(ctx)

	job := reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: "nightly"}}
	snapshot, err := watch.Store().WaitFor(ctx, job, func(s watchsource.Snapshot) bool { return s.Complete() })
	fmt.Println(snapshot.Len(), "pods", err)
	fmt.Println("leader election:", watch.NeedLeaderElection())
	// Output:
	// 1 pods <nil>
	// leader election: false
}

// The manager serves the metrics of the watch with its own.
func ExampleWatch_Collector() {
	watch := newWatch(watchtest.NewServer())
	collector := watch.Collector()
	defer collector.Close()
	fmt.Println(metrics.Registry.Register(collector))
	metrics.Registry.Unregister(collector)
	// Output: <nil>
}

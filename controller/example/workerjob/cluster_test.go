// SPDX-License-Identifier: Apache-2.0

package workerjob_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource/controller/example/workerjob"
	"github.com/executorpods/watchsource/watchtest"
)

func init() { log.SetLogger(logr.Discard()) }

// A cluster has the pods in a watchtest server, and the jobs in a fake client.
type cluster struct {
	*testing.T
	server *watchtest.Server
	pods   client.Client
	jobs   client.Client
}

// inBubble runs a test with a cluster whose kubelet runs each worker as lifecycle says. If that is
// nil there is no kubelet.
func inBubble(t *testing.T, lifecycle func(*corev1.Pod) watchtest.Lifecycle, test func(*cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		scheme := runtime.NewScheme()
		must(t, clientgoscheme.AddToScheme(scheme))
		must(t, workerjob.AddToScheme(scheme))
		mapper := meta.NewDefaultRESTMapper(nil)
		mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
		server := watchtest.NewServer()
		pods, err := client.New(server.Config(), client.Options{Scheme: scheme, Mapper: mapper})
		must(t, err)
		jobs := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&workerjob.WorkerJob{}).Build()
		if lifecycle != nil {
			defer server.StartKubelet(lifecycle)()
		}
		test(&cluster{T: t, server: server, pods: pods, jobs: jobs})
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var request = reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: "job"}}

func (c *cluster) createJob(workers int32) {
	c.Helper()
	must(c.T, c.jobs.Create(c.Context(), &workerjob.WorkerJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "job", UID: "job-uid"},
		Spec: workerjob.Spec{Workers: workers, Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "worker", Image: "worker"}}},
		}},
	}))
}

func (c *cluster) job() *workerjob.WorkerJob {
	c.Helper()
	var job workerjob.WorkerJob
	must(c.T, c.jobs.Get(c.Context(), request.NamespacedName, &job))
	return &job
}

// A process is an operator with one worker goroutine, which dies at a write.
type process struct {
	client mortalClient
	queue  workqueue.TypedRateLimitingInterface[reconcile.Request]
	died   chan struct{}
	stop   func()
}

// start starts a process. It dies at the write with the number dieAt, and at none if that is 0.
// If applied is true, the write is still executed.
func (c *cluster) start(dieAt int, applied bool) *process {
	c.Helper()
	ctx, cancel := context.WithCancel(c.Context())
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	p := &process{queue: queue, died: make(chan struct{})}
	p.stop = func() {
		cancel()
		queue.ShutDown()
		synctest.Wait()
	}
	p.client = mortalClient{Client: routingClient{Client: c.jobs, pods: c.pods}, life: &life{dieAt: dieAt, applied: applied, died: p.died}}
	watch := workerjob.NewWatch(c.server.Client())
	source := watch.Source()
	reconciler := source.Reconciler((&workerjob.Reconciler{Client: watch.Client(p.client), Live: p.client, Pods: watch}).Reconcile)
	must(c.T, source.Start(ctx, queue))
	must(c.T, source.WaitForSync(ctx))
	go work(ctx, queue, reconciler)
	queue.Add(request) // as a controller does for each job in its cache
	return p
}

func work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request], reconciler reconcile.Reconciler) {
	for {
		next, shutdown := queue.Get()
		if shutdown {
			return
		}
		if _, err := reconciler.Reconcile(ctx, next); err != nil {
			queue.AddRateLimited(next)
		} else {
			queue.Forget(next)
		}
		queue.Done(next)
	}
}

// deleteEnded deletes the pods that have ended, as a user or the garbage collector of pods does.
func (c *cluster) deleteEnded() {
	for _, pod := range c.server.List("") {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			must(c.T, c.server.Client().CoreV1().Pods(pod.Namespace).Delete(c.Context(), pod.Name, metav1.DeleteOptions{}))
		}
	}
}

// awaitComplete lets the job run until it is complete.
func (c *cluster) awaitComplete() workerjob.Status {
	c.Helper()
	for range 600 {
		if status := c.job().Status; status.Complete {
			return status
		}
		time.Sleep(time.Second)
	}
	c.Fatalf("after ten minutes the status is %+v, want it complete", c.job().Status)
	panic("unreachable")
}

// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
	"github.com/executorpods/watchsource/watchtest"
)

const ownerLabel = "job"

var selector = labels.SelectorFromSet(labels.Set{"app": "jobs"})

func request(owner string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: owner}}
}

// env is an API server and a watch of its pods, in a bubble.
type env struct {
	*testing.T
	server *watchtest.Server
	watch  *controller.Watch[reconcile.Request]
}

// inBubble runs a test in a bubble, in which all contexts from env.context end with the test.
func inBubble(t *testing.T, test func(env)) { withOptions(t, controller.Options{}, test) }

func withOptions(t *testing.T, options controller.Options, test func(env)) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		options := options
		options.Selector = selector
		options.Logger = logr.New(discard{})
		options.Store = append(options.Store, watchsource.WithExecutorIDLabel(""))
		test(env{t, server, controller.New(server.Client(), controller.ByLabel(ownerLabel), options)})
	})
}

// discard is a sink that is not nil, so that the default of Options.Logger does not apply.
type discard struct{}

func (discard) Init(logr.RuntimeInfo)          {}
func (discard) Enabled(int) bool               { return false }
func (discard) Info(int, string, ...any)       {}
func (discard) Error(error, string, ...any)    {}
func (discard) WithValues(...any) logr.LogSink { return discard{} }
func (discard) WithName(string) logr.LogSink   { return discard{} }

// pod creates a running pod of an owner.
func (e env) pod(owner, name string) {
	e.server.Create(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": "jobs", ownerLabel: owner}},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "worker"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	})
}

// end ends a pod with an exit code.
func (e env) end(name string, code int32) {
	e.server.Update("default", name, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodSucceeded
		if code != 0 {
			pod.Status.Phase = corev1.PodFailed
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "worker", ContainerID: "containerd://" + name,
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}},
		}}
	})
}

// start starts a new source with a queue, and waits until it is in sync.
func (e env) start(ctx context.Context) (*controller.Source[reconcile.Request], *queue) {
	e.Helper()
	source, q := e.watch.Source(), newQueue()
	must(e.T, source.Start(ctx, q))
	must(e.T, source.WaitForSync(ctx))
	synctest.Wait()
	return source, q
}

// nextInterval waits until the changes so far are enqueued.
func nextInterval() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// queue records the requests that are added. Its other methods panic.
type queue struct {
	priorityqueue.PriorityQueue[reconcile.Request]

	mu    sync.Mutex
	added []string // "owner" for Add, "owner priority -100" for AddWithOpts
	onAdd func(reconcile.Request)
}

func newQueue() *queue { return &queue{onAdd: func(reconcile.Request) {}} }

func (q *queue) Add(r reconcile.Request) { q.add(r, r.Name) }

func (q *queue) AddWithOpts(o priorityqueue.AddOpts, all ...reconcile.Request) {
	for _, r := range all {
		if o.RateLimited || o.After != 0 || o.Priority == nil {
			q.add(r, fmt.Sprintf("%s %+v", r.Name, o))
			continue
		}
		q.add(r, fmt.Sprintf("%s priority %d", r.Name, *o.Priority))
	}
}

func (q *queue) add(r reconcile.Request, line string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.added = append(q.added, line)
	q.onAdd(r)
}

// taken returns the lines that were added since the last call.
func (q *queue) taken() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.added
	q.added = nil
	return taken
}

// plainQueue is a queue without priorities.
type plainQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	queue *queue
}

func (q plainQueue) Add(r reconcile.Request) { q.queue.Add(r) }

// ends returns a line for each end of a look.
func ends(look controller.Look) []string {
	var lines []string
	for _, change := range look.Ends {
		line := fmt.Sprintf("%s %v %d", change.After.Name, change.After.State, change.After.ExitCode)
		if change.Gone != 0 {
			line += " " + change.Gone.String()
		}
		lines = append(lines, line)
	}
	return lines
}

func want[T comparable](t *testing.T, what string, got []T, wanted ...T) {
	t.Helper()
	if len(got) != len(wanted) {
		t.Fatalf("%s: %v, want %v", what, got, wanted)
	}
	for i := range got {
		if got[i] != wanted[i] {
			t.Fatalf("%s: %v, want %v", what, got, wanted)
		}
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, want %q in it", err, part)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

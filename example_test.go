// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// executorPod is an executor of application "app-1" in a phase.
func executorPod(id string, phase corev1.PodPhase, statuses ...corev1.ContainerStatus) *corev1.Pod {
	p := podtest.Pod(id, podtest.Of("jobs", "app-1"), podtest.Phase(phase))
	p.Status.ContainerStatuses = statuses
	return p
}

func outOfMemory() corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name:  podtest.ExecutorContainer,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}},
	}
}

func follow(ctx context.Context, client kubernetes.Interface) error {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace("jobs"))
	if err := source.Start("app-1"); err != nil {
		return err
	}
	defer source.Stop()
	context.AfterFunc(ctx, source.Stop) // the loop then gets what waits in a last batch, and ends
	for batch := range store.Batches(context.Background(), time.Second) {
		for _, change := range batch.Changes {
			if e := change.After; change.Ended {
				fmt.Println("executor", e.ID, e.State, "exit code", e.ExitCode, e.Reason)
			}
		}
	}
	return nil
}

// The quick start: a scheduler's loop over what happens to its executors.
func Example() {
	client := fake.NewClientset(executorPod("1", corev1.PodRunning), executorPod("2", corev1.PodFailed, outOfMemory()))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := follow(ctx, client); err != nil {
		fmt.Println(err)
	}
	// Output:
	// executor 2 Failed exit code 137 OOMKilled
}

func watchAll(client kubernetes.Interface, appIDs ...string) error {
	shared := watchsource.NewSharedWatch(client)
	for _, appID := range appIDs {
		store := watchsource.NewStore() // one store for each source
		source := shared.Source(store)
		if err := source.Start(appID); err != nil {
			return err
		}
		defer source.Stop()
		running := store.Snapshot().Count(watchsource.Running)
		fmt.Println(appID, "has", running, "running executors")
	}
	return nil
}

// One watch for two applications, each with its own store.
func ExampleSharedWatch() {
	other := executorPod("2", corev1.PodRunning)
	other.Labels[watchsource.LabelApp] = "app-2"
	client := fake.NewClientset(executorPod("1", corev1.PodRunning), other, executorPod("3", corev1.PodRunning))
	if err := watchAll(client, "app-1", "app-2"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// app-1 has 2 running executors
	// app-2 has 1 running executors
}

func ExampleStore_WaitFor() {
	client := fake.NewClientset(executorPod("1", corev1.PodRunning))
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	ctx := context.Background()
	_, err := client.CoreV1().Pods("jobs").Create(ctx, executorPod("2", corev1.PodRunning), metav1.CreateOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	snapshot, err := store.WaitFor(ctx, func(s watchsource.Snapshot) bool {
		return s.Count(watchsource.Running) == 2
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for executor := range snapshot.All() {
		fmt.Println(executor.Name, executor.State)
	}
	// Output:
	// app-1-exec-1 Running
	// app-1-exec-2 Running
}

// A scheduler that has created a pod waits until its view contains it, so that
// it does not create the pod twice.
func ExampleStore_WaitForResourceVersion() {
	client := watchtest.NewServer().Client() // the fake clientset has no versions
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	ctx := context.Background()
	pod, err := client.CoreV1().Pods("jobs").Create(ctx, executorPod("7", corev1.PodPending), metav1.CreateOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	snapshot, err := store.WaitForResourceVersion(ctx, pod.ResourceVersion)
	if err != nil {
		fmt.Println(err)
		return
	}
	executor, seen := snapshot.ByID("7")
	fmt.Println(executor.Name, seen)
	// Output: app-1-exec-7 true
}

// A reader is shown ends and deletions, even if it was busy meanwhile.
func ExampleStore_Batches() {
	store := watchsource.NewStore()
	store.UpdatePod(executorPod("1", corev1.PodRunning))
	for batch := range store.Batches(context.Background(), 0) {
		for _, c := range batch.Changes {
			switch {
			case c.Before == nil:
				fmt.Println("new:", c.After.ID, c.After.State)
			case c.After.State == watchsource.Deleted:
				fmt.Println("gone:", c.After.ID, "was", c.Before.State)
			case c.Ended:
				fmt.Println("ended:", c.After.ID, c.After.State, c.After.ExitCode, c.After.Reason)
			}
		}
		fmt.Println(batch.Snapshot.Len(), "left")
		if batch.Snapshot.Len() == 0 {
			break
		}
		// While this reader is busy, executor 1 ends and its pod is deleted.
		store.UpdatePod(executorPod("1", corev1.PodFailed, outOfMemory()))
		store.DeletePod(executorPod("1", corev1.PodFailed, outOfMemory()))
	}
	// Output:
	// new: 1 Running
	// 1 left
	// ended: 1 Failed 137 OOMKilled
	// gone: 1 was Failed
	// 0 left
}

// A scheduler that replaces a failed executor with a pod that has the same spec. The pod is
// a copy, so the scheduler may change it.
func ExampleExecutor_Pod() {
	server := watchtest.NewServer()
	failed := executorPod("1", corev1.PodFailed, outOfMemory())
	failed.Labels["team"] = "billing"
	failed.Spec.Containers = []corev1.Container{{Name: podtest.ExecutorContainer, Image: "registry.example/spark:4.2.0"}}
	server.Create(failed)
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, server.Client())
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	executor, _ := store.Snapshot().ByID("1")
	team, _ := executor.Label("team") // does not decode the pod
	fmt.Println("replace", executor.Name, "of", team)
	pod, err := executor.Pod()
	if err != nil {
		fmt.Println(err)
		return
	}
	next := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "app-1-exec-2", Labels: pod.Labels}, Spec: pod.Spec}
	next.Labels[watchsource.LabelExecutorID] = "2"
	id, _ := executor.Label(watchsource.LabelExecutorID)
	fmt.Println("with", next.Name, "from", next.Spec.Containers[0].Image)
	fmt.Println("the store still has the executor", id)
	// Output:
	// replace app-1-exec-1 of billing
	// with app-1-exec-2 from registry.example/spark:4.2.0
	// the store still has the executor 1
}

// podNames is a store of one's own: it only keeps names.
type podNames map[string]bool

func (n podNames) UpdatePod(pod *corev1.Pod) { n[pod.Name] = true }
func (n podNames) DeletePod(pod *corev1.Pod) { delete(n, pod.Name) }
func (n podNames) ReplaceSnapshot(pods []*corev1.Pod) {
	clear(n)
	for _, pod := range pods {
		n.UpdatePod(pod)
	}
}

func ExampleSnapshotsStore() {
	names := podNames{}
	client := fake.NewClientset(executorPod("1", corev1.PodRunning), executorPod("2", corev1.PodPending))
	source := watchsource.NewWatchSnapshotSource(names, client)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	source.Stop() // after this only this goroutine uses names
	fmt.Println(len(names), "pods")
	// Output: 2 pods
}

// Start returns the cause at once, as an error that a program can inspect.
func ExampleWatchSnapshotSource_Start() {
	server := watchtest.NewServer()
	server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewForbidden(
		schema.GroupResource{Resource: "pods"}, "", errors.New("no RBAC policy matched")))})
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), server.Client(), watchsource.WithNamespace("jobs"))
	err := source.Start("app-1")
	fmt.Println(apierrors.IsForbidden(err))
	fmt.Println(err)
	fmt.Println(errors.Is(source.Start(""), watchsource.ErrInvalidAppID))
	// Output:
	// true
	// watchsource: start: watch pods in namespace "jobs": pods is forbidden: no RBAC policy matched; grant the verbs list and watch on the resource pods with a Role in namespace "jobs"
	// true
}

func ExampleWatchSnapshotSource_Status() {
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), fake.NewClientset())
	fmt.Println(source.Status().Phase)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(source.Status().Phase, source.Status().AppID)
	source.Stop()
	fmt.Println(source.Status().Phase)
	// Output:
	// Stopped
	// Watching app-1
	// Stopped
}

// Debug logging with slog: every message of the library, and of client-go's
// requests on its behalf, goes to the same logger.
func ExampleWithLogger() {
	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), fake.NewClientset(),
		watchsource.WithLogger(logr.FromSlogHandler(handler)))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
	}
	source.Stop()
	// Output:
	// level=DEBUG msg="Starting watch for pods with labels spark-app-selector=app-1, spark-role=executor."
}

// Labels of one's own in the place of Spark's.
func ExampleWithSelector() {
	pod := executorPod("1", corev1.PodRunning)
	pod.Labels = map[string]string{"batch.example/job": "nightly", "batch.example/worker": "w-17"}
	store := watchsource.NewStore(watchsource.WithExecutorIDLabel("batch.example/worker"))
	source := watchsource.NewWatchSnapshotSource(store, fake.NewClientset(pod),
		watchsource.WithSelector(func(appID string) labels.Selector {
			return labels.SelectorFromSet(labels.Set{"batch.example/job": appID})
		}))
	if err := source.Start("nightly"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	executor, _ := store.Snapshot().ByID("w-17")
	fmt.Println(executor.ID, executor.State)
	// Output: w-17 Running
}

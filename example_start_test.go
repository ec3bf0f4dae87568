// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

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

// Run fits into an errgroup or any other function that runs until a context ends.
func ExampleWatchSnapshotSource_Run() {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, fake.NewClientset(executorPod("1", corev1.PodRunning)))
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() { result <- source.Run(ctx, "app-1") }()

	snapshot, err := store.WaitFor(ctx, watchsource.Snapshot.Complete)
	fmt.Println(snapshot.Count(watchsource.Running), "running,", err)
	cancel()
	fmt.Println(<-result)
	// Output:
	// 1 running, <nil>
	// <nil>
}

// A program that must come up soon, or say why not. The cause is the error that the API server
// answered with until the time was over.
func ExampleWithStartTimeout() {
	server := watchtest.NewServer()
	server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewTooManyRequests("the storage is initializing", 1))})
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), server.Client(),
		watchsource.WithStartTimeout(50*time.Millisecond))
	err := source.Start("app-1")
	fmt.Println(apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err))
	fmt.Println(source.Status().Phase)
	// Output:
	// true true
	// Stopped
}

// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/watchtest"
)

// failures is the code under test. It sends the names of pods that fail, and resumes the
// watch when it ends.
func failures(ctx context.Context, client kubernetes.Interface, version string, failed chan<- string) error {
	for ctx.Err() == nil {
		w, err := client.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{ResourceVersion: version})
		if err != nil {
			return err
		}
		for e := range w.ResultChan() {
			pod, ok := e.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			version = pod.ResourceVersion
			if pod.Status.Phase == corev1.PodFailed {
				failed <- pod.Name
			}
		}
	}
	return nil
}

func Example() {
	srv := watchtest.NewServer()
	for _, name := range []string{"exec-1", "exec-2"} {
		srv.Create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	fail := func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed }

	ctx, cancel := context.WithCancel(context.Background())
	failed, done := make(chan string), make(chan error)
	version := srv.ResourceVersion()
	go func() { done <- failures(ctx, srv.Client(), version, failed) }()

	srv.Update("default", "exec-1", fail)
	fmt.Println(<-failed)

	// The watch ends, and exec-2 fails before the next watch starts.
	srv.Strike(watchtest.Cut())
	srv.Update("default", "exec-2", fail)
	fmt.Println(<-failed)

	cancel()
	fmt.Println(<-done, srv.Count(watchtest.Watch))
	// Output:
	// exec-1
	// exec-2
	// <nil> 2
}

// runner is the code under test. It creates an executor, and another one for each that fails.
func runner(ctx context.Context, client kubernetes.Interface) error {
	pods := client.CoreV1().Pods("default")
	watching, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer watching.Stop()
	for attempt := 1; ; attempt++ {
		name := fmt.Sprintf("exec-%d", attempt)
		executor := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "spark"}}},
		}
		if _, err := pods.Create(ctx, executor, metav1.CreateOptions{}); err != nil {
			return err
		}
		for event := range watching.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || pod.Name != name {
				continue
			}
			if pod.Status.Phase == corev1.PodSucceeded {
				fmt.Println(name, "has done the work")
				return nil
			}
			if pod.Status.Phase == corev1.PodFailed {
				fmt.Println(name, "failed on", pod.Spec.NodeName, "with", pod.Status.ContainerStatuses[0].State.Terminated.Reason)
				break
			}
		}
	}
}

// The test says what happens to the pods that the code under test creates. Code that sets the
// annotations of a [watchtest.Lifecycle] needs no function: StartKubelet(nil).
func ExampleServer_StartKubelet() {
	srv := watchtest.NewServer()
	stop := srv.StartKubelet(func(pod *corev1.Pod) watchtest.Lifecycle {
		if pod.Name == "exec-1" {
			return watchtest.Lifecycle{RunFor: 20 * time.Millisecond, ExitCode: 137}
		}
		return watchtest.Lifecycle{RunFor: 10 * time.Millisecond}
	})
	defer stop()

	if err := runner(context.Background(), srv.Client()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// exec-1 failed on node-1 with OOMKilled
	// exec-2 has done the work
}

// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	appID    = "spark-5f0c1a7e9b"
	otherApp = "spark-0000000000"

	// writers is how many requests the tests have under way at a time.
	writers = 8
)

// newNamespace makes a namespace, and empties it after the test. To remove it
// would take a controller manager.
func newNamespace(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { clearNamespace(t, client, namespace.Name) })
	return namespace.Name
}

// executorPod is a pod like those that Spark makes.
func executorPod(namespace, app string, id int) *corev1.Pod {
	return podtest.Pod(strconv.Itoa(id), podtest.Of(namespace, app), podtest.Runnable,
		podtest.Label("spark-app-name", "integration"), podtest.Label("spark-version", "4.1.0"))
}

// driverPod belongs to the application and is not one of its executors.
func driverPod(namespace, app string) *corev1.Pod {
	pod := executorPod(namespace, app, 0)
	podtest.Driver(pod)
	return pod
}

// inParallel calls do for the numbers from 0 up to n, a few at a time.
func inParallel(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	numbers := make(chan int)
	var working sync.WaitGroup
	for range writers {
		working.Go(func() {
			for i := range numbers {
				if err := do(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	working.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func create(t *testing.T, client kubernetes.Interface, pods ...*corev1.Pod) []*corev1.Pod {
	t.Helper()
	created := make([]*corev1.Pod, len(pods))
	inParallel(t, len(pods), func(i int) (err error) {
		created[i], err = client.CoreV1().Pods(pods[i].Namespace).Create(t.Context(), pods[i], metav1.CreateOptions{})
		return err
	})
	return created
}

// remove deletes pods, at once or so that their kubelet has to confirm it.
func remove(t *testing.T, client kubernetes.Interface, options metav1.DeleteOptions, pods ...*corev1.Pod) {
	t.Helper()
	inParallel(t, len(pods), func(i int) error {
		return client.CoreV1().Pods(pods[i].Namespace).Delete(t.Context(), pods[i].Name, options)
	})
}

var (
	gracefully = metav1.DeleteOptions{}
	byForce    = metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
)

// clearNamespace deletes all pods of a namespace by force.
func clearNamespace(t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	if err := client.CoreV1().Pods(namespace).DeleteCollection(context.WithoutCancel(t.Context()), byForce, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
}

// executorSelector is the selector that the library is documented to use.
func executorSelector(app string) string {
	return strings.Join([]string{watchsource.LabelApp + "=" + app, watchsource.LabelRole + "=" + watchsource.RoleExecutor}, ",")
}

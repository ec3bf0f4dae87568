// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// TestMain removes client-go's rate limit for handled errors. The limit counts from the time
// of the previous error. If that was real time, an error in a bubble sleeps for 26 years.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	os.Exit(m.Run())
}

// executor returns a running executor pod of the application "one".
func executor(name string) *corev1.Pod {
	p := podtest.Pod("1", podtest.Named("default", name), podtest.Phase(corev1.PodRunning))
	p.Labels = map[string]string{"app": "one"}
	p.Spec.NodeName = "node-1"
	p.Spec.Containers = []corev1.Container{{Name: "executor", Image: "executor:1"}}
	return p
}

// inBoth runs a test in a bubble with a protobuf client and with a JSON client.
func inBoth(t *testing.T, test func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface)) {
	t.Helper()
	for name, client := range map[string]func(*watchtest.Server) kubernetes.Interface{
		"protobuf": (*watchtest.Server).Client,
		"json":     (*watchtest.Server).JSONClient,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, client) })
		})
	}
}

// openWatch opens a watch and stops it when the test ends.
func openWatch(t *testing.T, client kubernetes.Interface, opts metav1.ListOptions) watch.Interface {
	t.Helper()
	w, err := client.CoreV1().Pods("").Watch(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// streamingList returns the options that a Reflector sends for a streaming list.
func streamingList() metav1.ListOptions {
	return metav1.ListOptions{
		SendInitialEvents:    new(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks:  true,
	}
}

// drain returns the events that have arrived, one per line. "closed" means the end of the
// watch.
func drain(w watch.Interface) []string {
	var lines []string
	for {
		synctest.Wait()
		select {
		case e, open := <-w.ResultChan():
			if !open {
				return append(lines, "closed")
			}
			lines = append(lines, describe(e))
		default:
			return lines
		}
	}
}

func describe(e watch.Event) string {
	switch object := e.Object.(type) {
	case *corev1.Pod:
		line := fmt.Sprintf("%s %s %s", e.Type, object.Name, object.ResourceVersion)
		if e.Type == watch.Bookmark {
			line = fmt.Sprintf("%s %s", e.Type, object.ResourceVersion)
		}
		if object.Annotations[metav1.InitialEventsAnnotationKey] == "true" {
			line += " end"
		}
		return line
	case *metav1.Status:
		return fmt.Sprintf("%s %d %s %s", e.Type, object.Code, object.Reason, object.Message)
	default:
		return fmt.Sprintf("%s %T", e.Type, e.Object)
	}
}

// expect fails the test unless exactly the wanted events have arrived.
func expect(t *testing.T, w watch.Interface, want ...string) {
	t.Helper()
	if got := drain(w); !slices.Equal(got, want) {
		t.Errorf("events:\n got %q\nwant %q", got, want)
	}
}

func names(pods []corev1.Pod) []string {
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	return names
}

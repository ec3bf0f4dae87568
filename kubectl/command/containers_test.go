// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/watchtest"
)

// containers gives a pod one container for each exit code, with names in the order of the alphabet.
func containers(codes ...int32) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		pod.Spec.Containers = nil
		for i, code := range codes {
			name := string(rune('a' + i))
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name})
			pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
				Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.Now()}},
			})
		}
	}
}

// The flag has several names in the order in which they are looked for.
func TestExecutorContainerNames(t *testing.T) {
	for _, row := range []struct{ flags, want string }{
		{"--executor-container=c,b", "8"},
		{"--executor-container=main,c,b", "8"},
		{"--executor-container=c --executor-container=a", "7"},
		{"--executor-container=b", "8"},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := watchtest.NewServer()
			server.Create(pod("jobs", "app-a", 1, containers(7, 8)))
			table := once(t, server, append([]string{"app-a", "--no-headers"}, strings.Fields(row.flags)...)...)
			if fields := strings.Fields(table); len(fields) < 3 || fields[2] != row.want {
				t.Errorf("%s: got %q, want the exit code %s", row.flags, table, row.want)
			}
		})
	}
}

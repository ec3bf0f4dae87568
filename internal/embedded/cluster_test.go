// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// A watch receives these events of a pod.
func TestLivesOfPods(t *testing.T) {
	up := []string{"ADDED Pending", "MODIFIED Pending", "MODIFIED Pending ContainerCreating", "MODIFIED Running"}
	for _, tt := range []struct {
		name        string
		annotations map[string]string
		trouble     Trouble
		deleteAfter time.Duration
		want        []string
	}{
		{
			name:        "ends by itself",
			annotations: map[string]string{RunForAnnotation: "2s"},
			want:        append(up[:4:4], "MODIFIED Succeeded Completed 0"),
		},
		{
			name:        "fails",
			annotations: map[string]string{RunForAnnotation: "2s", ExitCodeAnnotation: "137"},
			want:        append(up[:4:4], "MODIFIED Failed OOMKilled 137"),
		},
		{
			name:    "is evicted",
			trouble: Trouble{EvictAfter: time.Second},
			want:    append(up[:4:4], "MODIFIED Failed Evicted"),
		},
		{
			name:        "is deleted while it runs",
			deleteAfter: time.Second,
			want: append(up[:4:4], "MODIFIED Running terminating",
				"MODIFIED Failed terminating Error 143", "DELETED Failed terminating Error 143"),
		},
		{
			name:        "is deleted by somebody else",
			trouble:     Trouble{DeleteAfter: time.Second},
			annotations: map[string]string{RunForAnnotation: "1h"},
			want: append(up[:4:4], "MODIFIED Running terminating",
				"MODIFIED Failed terminating Error 143", "DELETED Failed terminating Error 143"),
		},
		{
			name:        "is deleted after its end",
			annotations: map[string]string{RunForAnnotation: "10ms"},
			deleteAfter: time.Second,
			want:        append(up[:4:4], "MODIFIED Succeeded Completed 0", "DELETED Succeeded Completed 0"),
		},
		{
			name:        "is deleted before it runs",
			trouble:     Trouble{PullFailsFor: time.Minute},
			deleteAfter: time.Second,
			want: append(up[:3:3], "MODIFIED Pending ErrImagePull", "MODIFIED Pending ImagePullBackOff",
				"MODIFIED Pending terminating ImagePullBackOff", "DELETED Pending terminating ImagePullBackOff"),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := New(watchtest.NewServer(), Troubles{"1": tt.trouble})
				pods := cluster.Client().CoreV1().Pods("default")
				seen, err := pods.Watch(t.Context(), metav1.ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				var watching sync.WaitGroup
				watching.Go(func() {
					for event := range seen.ResultChan() {
						if podOf(event) != nil { // Stop may cause an ERROR event
							got = append(got, describe(event))
						}
					}
				})
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { cluster.Run(ctx) })
				synctest.Wait()

				if _, err := pods.Create(t.Context(), testPod(tt.annotations), metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				if tt.deleteAfter > 0 {
					time.Sleep(tt.deleteAfter)
					if err := pods.Delete(t.Context(), "executor", metav1.DeleteOptions{}); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(10 * time.Second)
				stop()
				running.Wait()

				seen.Stop()
				watching.Wait()
				if !slices.Equal(got, tt.want) {
					t.Errorf("seen %q,\nwant %q", got, tt.want)
				}
			})
		})
	}
}

func testPod(annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "executor",
			Annotations: annotations,
			Labels:      map[string]string{watchsource.LabelExecutorID: "1"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
}

// describe formats an event and the state of its pod.
func describe(event watch.Event) string {
	pod := podOf(event)
	words := []string{string(event.Type), string(pod.Status.Phase)}
	if pod.DeletionTimestamp != nil {
		words = append(words, "terminating")
	}
	if pod.Status.Reason != "" {
		words = append(words, pod.Status.Reason)
	}
	for _, container := range pod.Status.ContainerStatuses {
		switch state := container.State; {
		case state.Waiting != nil:
			words = append(words, state.Waiting.Reason)
		case state.Terminated != nil:
			words = append(words, state.Terminated.Reason, strconv.Itoa(int(state.Terminated.ExitCode)))
		}
	}
	return strings.Join(words, " ")
}

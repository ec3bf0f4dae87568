// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/watchtest"
)

// shutDown are the events of a pod that is deleted while it runs.
var shutDown = []string{"MODIFIED Running terminating", "MODIFIED Failed terminating Error 143", "DELETED Failed terminating Error 143"}

// lifecycles are the cases of TestLifecycles.
var lifecycles = []struct {
	name      string
	lifecycle watchtest.Lifecycle
	// deleteAfter is the time after which the test deletes the pod.
	deleteAfter time.Duration
	want        []string
}{
	{name: "runs until it is deleted", want: up},
	{
		name:      "ends by itself",
		lifecycle: watchtest.Lifecycle{RunFor: 2 * time.Second},
		want:      append(up[:4:4], "MODIFIED Succeeded Completed 0"),
	},
	{
		name:      "fails",
		lifecycle: watchtest.Lifecycle{RunFor: 2 * time.Second, ExitCode: 137},
		want:      append(up[:4:4], "MODIFIED Failed OOMKilled 137"),
	},
	{
		name:      "is evicted",
		lifecycle: watchtest.Lifecycle{EvictAfter: time.Second, RunFor: 2 * time.Second},
		want:      append(up[:4:4], "MODIFIED Failed Evicted"),
	},
	{
		name:      "ends before it would be evicted",
		lifecycle: watchtest.Lifecycle{EvictAfter: 2 * time.Second, DeleteAfter: 2 * time.Second, RunFor: time.Second},
		want:      append(up[:4:4], "MODIFIED Succeeded Completed 0"),
	},
	{
		name:        "is deleted while it runs",
		deleteAfter: time.Second,
		want:        append(up[:4:4], shutDown...),
	},
	{
		name:      "is deleted by another client",
		lifecycle: watchtest.Lifecycle{DeleteAfter: time.Second, RunFor: time.Hour},
		want:      append(up[:4:4], shutDown...),
	},
	{
		name:        "is deleted after its end",
		lifecycle:   watchtest.Lifecycle{RunFor: 10 * time.Millisecond},
		deleteAfter: time.Second,
		want:        append(up[:4:4], "MODIFIED Succeeded Completed 0", "DELETED Succeeded Completed 0"),
	},
	{
		name:        "is deleted before it is on a node",
		deleteAfter: time.Millisecond,
		want:        []string{"ADDED Pending", "DELETED Pending"},
	},
	{
		name:      "waits for its image",
		lifecycle: watchtest.Lifecycle{PullFailsFor: time.Second},
		want:      append(up[:3:3], "MODIFIED Pending ErrImagePull", "MODIFIED Pending ImagePullBackOff", "MODIFIED Running"),
	},
	{
		name:      "waits for its image for less than the back-off",
		lifecycle: watchtest.Lifecycle{PullFailsFor: time.Millisecond},
		want:      append(up[:3:3], "MODIFIED Pending ErrImagePull", "MODIFIED Pending ImagePullBackOff", "MODIFIED Running"),
	},
	{
		name:        "is deleted before it runs",
		lifecycle:   watchtest.Lifecycle{PullFailsFor: time.Minute},
		deleteAfter: time.Second,
		want: append(up[:3:3], "MODIFIED Pending ErrImagePull", "MODIFIED Pending ImagePullBackOff",
			"MODIFIED Pending terminating ImagePullBackOff", "DELETED Pending terminating ImagePullBackOff"),
	},
}

// A watch receives these events of a pod, whether its annotations or the test say what happens
// to it.
func TestLifecycles(t *testing.T) {
	for _, tt := range lifecycles {
		for _, annotated := range []bool{true, false} {
			inBubble(t, fmt.Sprintf("%s/annotated %v", tt.name, annotated), func(t *testing.T) {
				srv := watchtest.NewServer()
				pod := kubeletPod("executor")
				var lifecycle func(*corev1.Pod) watchtest.Lifecycle
				if annotated {
					pod.Annotations = tt.lifecycle.Annotations()
				} else {
					lifecycle = func(*corev1.Pod) watchtest.Lifecycle { return tt.lifecycle }
				}
				seen := record(t, srv.Client())
				defer srv.StartKubelet(lifecycle)()
				pods := srv.Client().CoreV1().Pods("default")
				_, err := pods.Create(t.Context(), pod, metav1.CreateOptions{})
				must(t, err)
				if tt.deleteAfter > 0 {
					time.Sleep(tt.deleteAfter)
					must(t, pods.Delete(t.Context(), "executor", metav1.DeleteOptions{}))
				}
				time.Sleep(10 * time.Second)
				if got := seen(); !slices.Equal(got, tt.want) {
					t.Errorf("seen %q,\nwant %q", got, tt.want)
				}
			})
		}
	}
}

func TestLifecycleAnnotations(t *testing.T) {
	all := watchtest.Lifecycle{
		RunFor: 90 * time.Second, ExitCode: 137, PullFailsFor: 10 * time.Millisecond, EvictAfter: time.Minute, DeleteAfter: time.Hour,
	}
	want := map[string]string{
		"watchtest/run-for": "1m30s", "watchtest/exit-code": "137", "watchtest/pull-fails-for": "10ms",
		"watchtest/evict-after": "1m0s", "watchtest/delete-after": "1h0m0s",
	}
	if got := all.Annotations(); !maps.Equal(got, want) {
		t.Errorf("annotations %v, want %v", got, want)
	}
	if got := (watchtest.Lifecycle{}).Annotations(); got != nil {
		t.Errorf("annotations %v of the zero Lifecycle, want nil", got)
	}
	for _, l := range []watchtest.Lifecycle{all, {}, {ExitCode: 1}} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: l.Annotations()}}
		if got := watchtest.LifecycleOf(pod); got != l {
			t.Errorf("LifecycleOf = %+v, want %+v", got, l)
		}
	}
	for key, value := range map[string]string{
		"watchtest/run-for": "90", "watchtest/evict-after": "-1s", "watchtest/exit-code": "OOM",
		"watchtest/delete-after": "",
	} {
		func() {
			defer wantPanic(t, key)
			watchtest.LifecycleOf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{key: value}}})
		}()
	}
}

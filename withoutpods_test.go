// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// A store without pods shows the same executors as a store that keeps the pods, although its
// source decodes less of them, also after the garbage collector has freed the pods.
func TestWithoutPodsShowsTheSame(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		inBubble(t, "executors", func(t *testing.T) {
			server := watchtest.NewServer()
			kept, dropped := watchsource.NewStore(), watchsource.NewStore(watchsource.WithoutPods())
			for _, store := range []*watchsource.Store{kept, dropped} {
				source := newSource(store, server.Client(), watchsource.WithTrimmedPods())
				start(t, source, "app-1")
				defer source.Stop()
			}
			for i := range 4 {
				server.Create(podtest.Pod(fmt.Sprint(i), podtest.Of("default", "app-1"), podtest.Runnable))
			}
			for round := range 12 {
				for i, name := range []string{"0", "1", "2", "3"} {
					server.Update("default", "app-1"+"-exec-"+name, func(p *corev1.Pod) { changeExecutor(p, round+i) })
				}
				synctest.Wait()
				runtime.GC()
				requireSameExecutors(t, dropped.Snapshot(), kept.Snapshot())
			}
		})
	})
}

// changeExecutor changes a part of a pod that its executor shows.
func changeExecutor(p *corev1.Pod, what int) {
	switch what % 4 {
	case 0:
		p.Spec.NodeName = fmt.Sprint("node-", what)
	case 1:
		p.Status.Phase, p.Status.PodIP = corev1.PodRunning, fmt.Sprint("10.0.0.", what)
	case 2:
		p.Labels[watchsource.LabelExecutorID] = fmt.Sprint(what)
	case 3:
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: executorContainer, State: ended(int32(what), "Error")}}
	}
}

func requireSameExecutors(t *testing.T, got, want watchsource.Snapshot) {
	t.Helper()
	if got.Len() != want.Len() || want.Len() == 0 {
		t.Fatalf("%d executors without pods, want %d", got.Len(), want.Len())
	}
	for e := range want.All() {
		if other, _ := got.Get(e.Name); !other.Equal(e) {
			t.Errorf("without pods %+v, want %+v", other, e)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A store without pods shows the same executors as a store that keeps the pods, also after the
// garbage collector has freed the pods between two states.
func TestWithoutPods(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	options := []watchsource.Option{watchsource.WithNamespace(namespace)}
	kept, dropped, shared := watchsource.NewStore(), watchsource.NewStore(watchsource.WithoutPods()), watchsource.NewStore(watchsource.WithoutPods())
	for _, source := range []*watchsource.WatchSnapshotSource{
		watchsource.NewWatchSnapshotSource(kept, newClient(t, server.Config()), options...),
		watchsource.NewWatchSnapshotSource(dropped, newClient(t, server.Config()), options...),
		watchsource.NewSharedWatch(newClient(t, server.Config()), options...).Source(shared),
	} {
		if err := source.Start(appID); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(source.Stop)
	}
	pods := create(t, client, executorPod(namespace, appID, 1), executorPod(namespace, appID, 2), executorPod(namespace, appID, 3))
	container := func(pod *corev1.Pod, state corev1.ContainerState) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: state}}
	}
	for round := range 6 {
		for i, pod := range pods {
			status := corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprint("10.0.0.", round+1), ContainerStatuses: container(pod, podtest.Running())}
			if round == 5 {
				status.Phase, status.ContainerStatuses = corev1.PodFailed, container(pod, podtest.Ended(int32(i+1), "Error"))
			}
			pods[i] = writeStatus(t, client, pod, status)
		}
		last := pods[len(pods)-1].ResourceVersion
		want := snapshotAt(t, kept, last)
		for name, store := range map[string]*watchsource.Store{"source": dropped, "shared watch": shared} {
			got := snapshotAt(t, store, last)
			if got.Len() != len(pods) {
				t.Errorf("%s, round %d: %d executors, want %d", name, round, got.Len(), len(pods))
			}
			for e := range want.All() {
				if other, _ := got.Get(e.Name); !other.Equal(e) {
					t.Errorf("%s, round %d: without pods %+v, want %+v", name, round, other, e)
				}
			}
		}
		runtime.GC()
	}
}

func snapshotAt(t *testing.T, store *watchsource.Store, version string) watchsource.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	snapshot, err := store.WaitForResourceVersion(ctx, version)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

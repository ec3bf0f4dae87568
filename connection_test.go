// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// startShared starts a source of a shared watch for the application of podtest, and stops
// the server's stream, so that the test can be the watch.
func startShared(t *testing.T, server *watchtest.Server, store SnapshotsStore) *SharedWatch {
	t.Helper()
	shared := NewSharedWatch(server.Client())
	source := shared.Source(store)
	if err := source.Start(podtest.App); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Stop)
	synctest.Wait()
	server.Strike(watchtest.Silence())
	return shared
}

// partOf returns what a filter leaves of a pod.
func partOf(pod *corev1.Pod) *podwire.Pod {
	const label = "spark-app-selector"
	id := podwire.Identity{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	return podwire.Part(id, label, pod.Labels[label])
}

func receive(t *testing.T, shared *SharedWatch, pod runtime.Object) {
	t.Helper()
	if err := shared.connection.Receive(watch.Event{Type: watch.Modified, Object: pod}); err != nil {
		t.Fatal(err)
	}
}

// A pod may be decoded in part just before its application starts. Then the application is
// listed, and nothing is read from the part.
func TestPodDecodedJustBeforeItsApplicationStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podtest.Pod("1", podtest.Phase(corev1.PodRunning)))
		store := NewStore()
		shared := startShared(t, server, store)
		before := server.Count(watchtest.List)

		receive(t, shared, partOf(server.Update(podtest.Namespace, "exec-1", podtest.Phase(corev1.PodFailed))))
		if e, _ := store.Snapshot().Get("exec-1"); e.State != Running {
			t.Errorf("the executor is %v before the list, want Running", e.State)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if e, _ := store.Snapshot().Get("exec-1"); e.State != Failed {
			t.Errorf("the executor is %v after the list, want Failed", e.State)
		}
		if n := server.Count(watchtest.List) - before; n != 1 {
			t.Errorf("%d lists, want 1", n)
		}
	})
}

// If a list was read before such a pod changed, the application is listed again.
func TestPodDecodedInPartAfterTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podtest.Pod("1", podtest.Phase(corev1.PodPending)))
		store := NewStore()
		shared := startShared(t, server, store)
		server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Delay(10 * time.Second), After: 1, Times: 1})

		receive(t, shared, partOf(server.Update(podtest.Namespace, "exec-1", podtest.Phase(corev1.PodRunning))))
		time.Sleep(5 * time.Second) // the first list has been read
		receive(t, shared, partOf(server.Update(podtest.Namespace, "exec-1", podtest.Phase(corev1.PodFailed))))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if e, _ := store.Snapshot().Get("exec-1"); e.State != Failed {
			t.Errorf("the executor is %v after the lists, want Failed", e.State)
		}
	})
}

// A pod that leaves its application and comes back while the application is listed is
// reported as gone.
func TestPodLeavesDuringALateList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podtest.Pod("1"))
		server.Create(podtest.Pod("2"))
		var calls callNames
		shared := startShared(t, server, &calls)
		server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Delay(10 * time.Second), After: 1, Times: 1})

		receive(t, shared, partOf(server.Update(podtest.Namespace, "exec-2", podtest.Phase(corev1.PodRunning))))
		time.Sleep(5 * time.Second)
		for _, app := range []string{"other", podtest.App} {
			receive(t, shared, server.Update(podtest.Namespace, "exec-1", podtest.Label("spark-app-selector", app)))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if want := (callNames{"replace", "replace", "delete exec-1", "update exec-1"}); !slices.Equal(calls, want) {
			t.Errorf("the store received %q, want %q", calls, want)
		}
	})
}

// A pod that is created, ends and is deleted while the application is listed is shown with its
// end, although the list does not have it.
func TestPodLivesDuringALateList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(podtest.Pod("2"))
		var calls callNames
		shared := startShared(t, server, &calls)
		server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Delay(10 * time.Second), After: 1, Times: 1})

		receive(t, shared, partOf(server.Update(podtest.Namespace, "exec-2", podtest.Phase(corev1.PodRunning))))
		time.Sleep(5 * time.Second)
		receive(t, shared, server.Create(podtest.Pod("1", podtest.Phase(corev1.PodRunning))))
		receive(t, shared, server.Update(podtest.Namespace, "exec-1", podtest.Phase(corev1.PodFailed)))
		if err := shared.connection.Receive(watch.Event{Type: watch.Deleted, Object: server.Delete(podtest.Namespace, "exec-1")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if want := (callNames{"replace", "replace", "update exec-1", "delete exec-1"}); !slices.Equal(calls, want) {
			t.Errorf("the store received %q, want %q", calls, want)
		}
	})
}

// callNames is a store that records its calls.
type callNames []string

func (c *callNames) UpdatePod(pod *corev1.Pod)          { *c = append(*c, "update "+pod.Name) }
func (c *callNames) DeletePod(pod *corev1.Pod)          { *c = append(*c, "delete "+pod.Name) }
func (c *callNames) ReplaceSnapshot(pods []*corev1.Pod) { *c = append(*c, "replace") }

// A pod is decoded completely only if a started application has it, or has had it.
func TestFilterOfASharedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := NewSharedWatch(server.Client())
		source := shared.Source(NewStore())
		if err := source.Start(podtest.App); err != nil {
			t.Fatal(err)
		}
		defer source.Stop()
		pod := server.Create(podtest.Pod("1"))
		other := server.Create(podtest.Pod("2", podtest.Label("spark-app-selector", "other")))
		synctest.Wait()
		for _, test := range []struct {
			name string
			pod  *corev1.Pod
			app  string
			want bool
		}{
			{name: "of the application", pod: pod, app: podtest.App, want: true},
			{name: "relabelled away from it", pod: pod, app: "other", want: true},
			{name: "of another", pod: other, app: "other", want: false},
			{name: "relabelled to it", pod: other, app: podtest.App, want: true},
			{name: "without a label", pod: other, app: "", want: false},
		} {
			if got := shared.connection.wants([]byte(test.pod.UID), []byte(test.app)); got != test.want {
				t.Errorf("a pod %s: wants is %v, want %v", test.name, got, test.want)
			}
		}
	})
}

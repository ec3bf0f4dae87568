// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// podAt returns a running executor in a namespace at a version. options may change it.
func podAt(namespace, id, version string, options ...func(*corev1.Pod)) *podwire.Pod {
	options = append([]func(*corev1.Pod){
		podtest.Named(namespace, "exec-"+id), podtest.UID(namespace + id), podtest.Version(version), podtest.Phase(corev1.PodRunning),
	}, options...)
	return podwire.Of(podtest.Pod(id, options...))
}

// The list of one namespace changes the executors of that namespace only. It is as if the store had
// received the changes of that namespace, and an end in another namespace is not shown again.
func TestReplacePodsOfOneNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewStore()
		ended := podAt("b", "1", "4", podtest.Phase(corev1.PodFailed))
		store.replacePods("", []*podwire.Pod{podAt("a", "1", "2"), podAt("a", "2", "3"), podAt("b", "1", "1"), podAt("b", "2", "1")}, time.Now())
		var seen []string
		go func() {
			for batch := range store.Batches(t.Context(), 0) {
				for _, c := range batch.Changes {
					seen = append(seen, fmt.Sprintf("%s/%s %v %v %v", c.After.Namespace, c.After.Name, c.After.State, c.Ended, c.Gone))
				}
			}
		}()
		synctest.Wait()
		store.updatePod(ended, "4")
		synctest.Wait()
		seen = nil

		time.Sleep(time.Minute)
		synced := time.Now().Add(-time.Second)
		store.replacePods("a", []*podwire.Pod{podAt("a", "2", "3"), podAt("a", "3", "9")}, synced)
		store.updatePod(ended, "10") // again
		synctest.Wait()
		if got, want := strings.Join(seen, ", "), "a/exec-1 Deleted false Missed, a/exec-3 Running false , b/exec-1 Failed false "; got != want {
			t.Errorf("a reader is shown %q, want %q", got, want)
		}
		var has []string
		for e := range store.Snapshot().All() {
			has = append(has, fmt.Sprintf("%s/%s=%v", e.Namespace, e.Name, e.State))
		}
		if got, want := strings.Join(has, " "), "b/exec-1=Failed a/exec-2=Running b/exec-2=Running a/exec-3=Running"; got != want {
			t.Errorf("the store has %s, want %s", got, want)
		}
		if got := store.Snapshot().SyncedAt(); !got.Equal(synced) {
			t.Errorf("synced at %v, want %v", got, synced)
		}
		store.deletePod(podAt("b", "2", "11"), Seen, "11")
		if got := store.Snapshot().Len(); got != 3 {
			t.Errorf("%d executors after a deletion, want 3", got)
		}
	})
}

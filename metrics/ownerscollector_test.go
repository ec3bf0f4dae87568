// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// byOwner is the owner of a pod in these tests.
func byOwner(pod metav1.Object) (string, bool) {
	owner, ok := pod.GetLabels()["owner"]
	return owner, ok
}

func createOwned(server *watchtest.Server, owner, name string) {
	pod := executorPod("app", name)
	pod.Labels["owner"] = owner
	server.Create(pod)
	synctest.Wait()
}

// A collector of a StoreBy adds its owners up, counts each end once, and goes on counting after
// another Start: owners that have left in between have ended, and no end is counted again.
func TestCollectorBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		store := watchsource.NewStoreBy(byOwner)
		source := watchsource.NewWatchSnapshotSource(store, server.Client())
		collector := metrics.NewCollectorBy(source, store)
		defer collector.Close()
		requireMetrics(t, collector, ownersText(0, 0, 0), "watchsource_executors", "watchsource_executor_ends_total")
		createOwned(server, "one", "one-exec")
		if err := source.Start("app"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		createOwned(server, "two", "two-exec")
		createOwned(server, "three", "three-exec")
		requireMetrics(t, collector, ownersText(3, 0, 0), "watchsource_executors", "watchsource_executor_ends_total")
		end(server, "two-exec", 137, "OOMKilled")
		synctest.Wait()
		server.Delete("default", "two-exec")
		requireMetrics(t, collector, ownersText(2, 1, 0), "watchsource_executors", "watchsource_executor_ends_total")
		if synced := value(t, collector, "watchsource_synced_timestamp_seconds"); synced == 0 {
			t.Error("synced is 0, want the time of the list")
		}

		source.Stop()
		server.Delete("default", "one-exec")
		createOwned(server, "four", "four-exec")
		end(server, "three-exec", 137, "OOMKilled")
		if err := source.Start("app"); err != nil {
			t.Fatal(err)
		}
		defer source.Stop()
		synctest.Wait()
		server.Update("default", "four-exec", func(pod *corev1.Pod) { pod.Labels["x"] = "y" })
		synctest.Wait()
		server.Delete("default", "three-exec")
		requireMetrics(t, collector, ownersText(1, 2, 1), "watchsource_executors", "watchsource_executor_ends_total")
	})
}

func ownersText(pending, killed, deleted int) string {
	return fmt.Sprintf(`
# HELP watchsource_executors Executors by state.
# TYPE watchsource_executors gauge
watchsource_executors{state="Failed"} 0
watchsource_executors{state="Pending"} %d
watchsource_executors{state="Running"} 0
watchsource_executors{state="Succeeded"} 0
watchsource_executors{state="Unknown"} 0
# HELP watchsource_executor_ends_total Executors that have ended since the collector began, by state and reason. Deleted: without an end.
# TYPE watchsource_executor_ends_total counter
watchsource_executor_ends_total{reason="Completed",state="Succeeded"} 0
watchsource_executor_ends_total{reason="Error",state="Failed"} 0
watchsource_executor_ends_total{reason="Evicted",state="Failed"} 0
watchsource_executor_ends_total{reason="OOMKilled",state="Failed"} %d
watchsource_executor_ends_total{reason="none",state="Deleted"} %d
`, pending, killed, deleted)
}

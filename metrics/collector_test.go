// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An application is a source with its store.
type application struct {
	id     string
	source *watchsource.WatchSnapshotSource
	store  *watchsource.Store
}

func newApplication(id string, newSource func(watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource, options ...watchsource.StoreOption) *application {
	store := watchsource.NewStore(options...)
	return &application{id: id, source: newSource(store), store: store}
}

func (a *application) start(t *testing.T) {
	t.Helper()
	if err := a.source.Start(a.id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.source.Stop)
}

// addTo adds the application to a collector.
func (a *application) addTo(t *testing.T, collector *metrics.Collector) {
	t.Helper()
	if err := collector.Add(a.source, a.store); err != nil {
		t.Fatal(err)
	}
}

// single is the constructor of a source with its own watch.
func single(server *watchtest.Server) func(watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource {
	return func(store watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource {
		return watchsource.NewWatchSnapshotSource(store, server.Client())
	}
}

// executorPod is a pending executor of an application.
func executorPod(app, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      name,
			Namespace: "default",
			Labels: map[string]string{
				watchsource.LabelApp:        app,
				watchsource.LabelRole:       watchsource.RoleExecutor,
				watchsource.LabelExecutorID: "1",
			},
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "spark-kubernetes-executor"}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}

// createPod creates a pod, and returns when the open watches have delivered it.
func createPod(server *watchtest.Server, app, name string) {
	server.Create(executorPod(app, name))
	synctest.Wait()
}

func setPhase(server *watchtest.Server, name string, phase corev1.PodPhase) {
	server.Update("default", name, func(pod *corev1.Pod) { pod.Status.Phase = phase })
}

// end ends the executor container.
func end(server *watchtest.Server, name string, exitCode int32, reason string) {
	server.Update("default", name, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		if exitCode == 0 {
			pod.Status.Phase = corev1.PodSucceeded
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name:  "spark-kubernetes-executor",
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode, Reason: reason}},
		}}
	})
}

// requireMetrics compares metrics with their text, after all goroutines are idle.
func requireMetrics(t *testing.T, collector prometheus.Collector, want string, names ...string) {
	t.Helper()
	synctest.Wait()
	if err := testutil.CollectAndCompare(collector, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// All metrics of one source, in Prometheus's text format.
func TestCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for i := range 5 {
			createPod(server, "app", fmt.Sprint("exec-", i))
		}
		a := newApplication("app", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		requireMetrics(t, collector, stoppedMetrics)

		a.start(t)
		setPhase(server, "exec-1", corev1.PodRunning)
		end(server, "exec-2", 137, "OOMKilled")
		end(server, "exec-3", 0, "Completed")
		server.Delete("default", "exec-4")
		time.Sleep(10 * time.Second)
		requireMetrics(t, collector, watchingMetrics)
	})
}

const stoppedMetrics = `
# HELP watchsource_errors_total Requests and watches that ended with an error.
# TYPE watchsource_errors_total counter
watchsource_errors_total 0
# HELP watchsource_events_total Pod events received.
# TYPE watchsource_events_total counter
watchsource_events_total 0
# HELP watchsource_executor_ends_total Executors that have ended since the collector began, by state and reason. Deleted: without an end.
# TYPE watchsource_executor_ends_total counter
watchsource_executor_ends_total{reason="Completed",state="Succeeded"} 0
watchsource_executor_ends_total{reason="Error",state="Failed"} 0
watchsource_executor_ends_total{reason="Evicted",state="Failed"} 0
watchsource_executor_ends_total{reason="OOMKilled",state="Failed"} 0
watchsource_executor_ends_total{reason="none",state="Deleted"} 0
# HELP watchsource_executors Executors by state.
# TYPE watchsource_executors gauge
watchsource_executors{state="Failed"} 0
watchsource_executors{state="Pending"} 0
watchsource_executors{state="Running"} 0
watchsource_executors{state="Succeeded"} 0
watchsource_executors{state="Unknown"} 0
# HELP watchsource_lists_total Complete lists received, the first included.
# TYPE watchsource_lists_total counter
watchsource_lists_total 0
# HELP watchsource_relists_total Complete lists received after the first.
# TYPE watchsource_relists_total counter
watchsource_relists_total 0
# HELP watchsource_resumes_total Watches opened at the version where another watch ended.
# TYPE watchsource_resumes_total counter
watchsource_resumes_total 0
# HELP watchsource_stalls_total Watches given up because they went silent.
# TYPE watchsource_stalls_total counter
watchsource_stalls_total 0
# HELP watchsource_started_sources Sources that are started.
# TYPE watchsource_started_sources gauge
watchsource_started_sources 0
# HELP watchsource_watching 1 if the view of the executors is current, 0 otherwise.
# TYPE watchsource_watching gauge
watchsource_watching 0
`

const watchingMetrics = `
# HELP watchsource_decoder_info What decodes the pods: protobuf is the decoder of watchsource.
# TYPE watchsource_decoder_info gauge
watchsource_decoder_info{decoder="protobuf"} 1
# HELP watchsource_errors_total Requests and watches that ended with an error.
# TYPE watchsource_errors_total counter
watchsource_errors_total 0
# HELP watchsource_events_total Pod events received.
# TYPE watchsource_events_total counter
watchsource_events_total 4
# HELP watchsource_executor_ends_total Executors that have ended since the collector began, by state and reason. Deleted: without an end.
# TYPE watchsource_executor_ends_total counter
watchsource_executor_ends_total{reason="Completed",state="Succeeded"} 1
watchsource_executor_ends_total{reason="Error",state="Failed"} 0
watchsource_executor_ends_total{reason="Evicted",state="Failed"} 0
watchsource_executor_ends_total{reason="OOMKilled",state="Failed"} 1
watchsource_executor_ends_total{reason="none",state="Deleted"} 1
# HELP watchsource_executors Executors by state.
# TYPE watchsource_executors gauge
watchsource_executors{state="Failed"} 1
watchsource_executors{state="Pending"} 1
watchsource_executors{state="Running"} 1
watchsource_executors{state="Succeeded"} 1
watchsource_executors{state="Unknown"} 0
# HELP watchsource_last_contact_timestamp_seconds When the API server last answered.
# TYPE watchsource_last_contact_timestamp_seconds gauge
watchsource_last_contact_timestamp_seconds 9.466848e+08
# HELP watchsource_lists_total Complete lists received, the first included.
# TYPE watchsource_lists_total counter
watchsource_lists_total 1
# HELP watchsource_relists_total Complete lists received after the first.
# TYPE watchsource_relists_total counter
watchsource_relists_total 0
# HELP watchsource_resumes_total Watches opened at the version where another watch ended.
# TYPE watchsource_resumes_total counter
watchsource_resumes_total 0
# HELP watchsource_stalls_total Watches given up because they went silent.
# TYPE watchsource_stalls_total counter
watchsource_stalls_total 0
# HELP watchsource_started_sources Sources that are started.
# TYPE watchsource_started_sources gauge
watchsource_started_sources 1
# HELP watchsource_synced_timestamp_seconds When the last complete list arrived.
# TYPE watchsource_synced_timestamp_seconds gauge
watchsource_synced_timestamp_seconds 9.466848e+08
# HELP watchsource_watching 1 if the view of the executors is current, 0 otherwise.
# TYPE watchsource_watching gauge
watchsource_watching 1
`

// The metrics show that a view is out of date, and the counters go on after a new Start.
func TestWatchMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		a := newApplication("app", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		a.start(t)
		lift := server.Inject(watchtest.Fault{
			On: watchtest.List | watchtest.Watch | watchtest.StreamingList,
			Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role"))),
		})
		server.Strike(watchtest.Cut())
		time.Sleep(time.Minute)
		requireMetrics(t, collector, watchingText(0), "watchsource_watching")
		if contact := value(t, collector, "watchsource_last_contact_timestamp_seconds"); contact > 946684801 {
			t.Errorf("last contact at %v, want when the watch was cut", contact)
		}
		lift()
		time.Sleep(time.Minute)
		requireMetrics(t, collector, watchingText(1), "watchsource_watching")

		collector.Remove(a.source)
		a.addTo(t, collector)
		a.source.Stop()
		requireMetrics(t, collector, watchingText(0), "watchsource_watching")
		a.start(t)
		requireMetrics(t, collector, `
# HELP watchsource_lists_total Complete lists received, the first included.
# TYPE watchsource_lists_total counter
watchsource_lists_total 2
# HELP watchsource_resumes_total Watches opened at the version where another watch ended.
# TYPE watchsource_resumes_total counter
watchsource_resumes_total 1
`, "watchsource_lists_total", "watchsource_resumes_total")

		a.source.Stop()
		requireMetrics(t, collector, watchingText(0), "watchsource_watching")
		a.start(t)
		if lists := value(t, collector, "watchsource_lists_total"); lists != 3 {
			t.Errorf("%v lists, want 3 after the third Start", lists)
		}
	})
}

func watchingText(n int) string {
	return fmt.Sprintf("# HELP watchsource_watching 1 if the view of the executors is current, 0 otherwise.\n# TYPE watchsource_watching gauge\nwatchsource_watching %d\n", n)
}

// reasonsOf returns the values of a metric that are not 0, by the label reason.
func reasonsOf(t *testing.T, collector prometheus.Collector, name string) map[string]int {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]int{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if n := int(metric.GetCounter().GetValue()); family.GetName() == name && label.GetName() == "reason" && n != 0 {
					values[label.GetValue()] += n
				}
			}
		}
	}
	return values
}

// value returns the value of a metric without labels.
func value(t *testing.T, collector prometheus.Collector, name string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue() + family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// The names and types follow Prometheus's conventions.
func TestLint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		createPod(server, "app", "exec")
		end(server, "exec", 1, "Error")
		a := newApplication("app", single(server))
		collector := metrics.NewCollector(a.source, a.store, metrics.PerApplication())
		defer collector.Close()
		a.start(t)
		problems, err := testutil.CollectAndLint(collector)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %s, want no problem", problem.Metric, problem.Text)
		}
	})
}

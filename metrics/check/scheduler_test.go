// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A target is an address that Prometheus scrapes. Without a scheduler it does not answer.
type target struct {
	server    *httptest.Server
	scheduler atomic.Pointer[scheduler]
}

func newTarget(t *testing.T) *target {
	target := &target{}
	target.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := target.scheduler.Load()
		if s == nil {
			panic(http.ErrAbortHandler)
		}
		s.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(target.server.Close)
	return target
}

// A scheduler is what a process with a source has.
type scheduler struct {
	store     *watchsource.Store
	source    *watchsource.WatchSnapshotSource
	collector *metrics.Collector
	handler   http.Handler
}

// start starts a scheduler at the target.
func (t *target) start(test *testing.T, cluster *watchtest.Server) *scheduler {
	test.Helper()
	s := &scheduler{store: watchsource.NewStore(watchsource.WithBacklogLimit(100))}
	s.source = watchsource.NewWatchSnapshotSource(s.store, cluster.Client(), watchsource.WithVerification(5*time.Second))
	s.collector = metrics.NewCollector(s.source, s.store)
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.collector)
	s.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	if err := s.source.Start("app"); err != nil {
		test.Fatal(err)
	}
	t.scheduler.Store(s)
	return s
}

// stop ends the scheduler, as its process does.
func (t *target) stop() {
	if s := t.scheduler.Swap(nil); s != nil {
		s.source.Stop()
		s.collector.Close()
	}
}

// createOld creates an executor that runs since three days.
func createOld(cluster *watchtest.Server, name string) {
	created := metav1.NewTime(time.Now().Add(-72 * time.Hour))
	cluster.Create(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", CreationTimestamp: created,
			Labels: map[string]string{watchsource.LabelApp: "app", watchsource.LabelRole: watchsource.RoleExecutor, watchsource.LabelExecutorID: "1"},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	})
}

// kill ends an executor that used too much memory.
func kill(cluster *watchtest.Server, name string, at time.Time) {
	cluster.Update("default", name, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "spark-kubernetes-executor",
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 137, Reason: "OOMKilled", StartedAt: metav1.NewTime(at), FinishedAt: metav1.NewTime(at),
			}},
		}}
	})
}

// eachNamed calls a function with n names.
func eachNamed(prefix string, n int, call func(name string)) {
	for i := range n {
		call(fmt.Sprint(prefix, "-", i))
	}
}

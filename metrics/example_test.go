// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// show prints the lines of an answer that begin with the given text.
func show(handler http.Handler, path, prefix string) {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			fmt.Print(line)
		}
	}
}

// A scheduler that serves its metrics, and a liveness probe.
func ExampleNewCollector() {
	server := watchtest.NewServer() // in place of a cluster
	server.Create(executorPod("app-1", "exec-1"))
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, server.Client())
	collector := metrics.NewCollector(source, store)
	defer collector.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := source.Healthy(3 * time.Minute); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})

	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	show(mux, "/healthz", "")
	show(mux, "/metrics", `watchsource_executors{state="Pending"}`)
	show(mux, "/metrics", "watchsource_watching")
	// Output:
	// ok
	// watchsource_executors{state="Pending"} 1
	// watchsource_watching 1
}

// Applications that share a watch share a collector.
func ExampleNewSharedCollector() {
	server := watchtest.NewServer() // in place of a cluster
	server.Create(executorPod("app-1", "exec-1"))
	server.Create(executorPod("app-2", "exec-2"))
	shared := watchsource.NewSharedWatch(server.Client())
	collector := metrics.NewSharedCollector(metrics.PerApplication())
	defer collector.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)

	for _, appID := range []string{"app-1", "app-2"} {
		store := watchsource.NewStore()
		source := shared.Source(store)
		if err := collector.Add(source, store); err != nil { // before Start
			fmt.Println(err)
			return
		}
		if err := source.Start(appID); err != nil {
			fmt.Println(err)
			return
		}
		defer source.Stop()
	}
	show(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), "/metrics", `watchsource_executors{app="app-2"`)
	// Output:
	// watchsource_executors{app="app-2",state="Failed"} 0
	// watchsource_executors{app="app-2",state="Pending"} 1
	// watchsource_executors{app="app-2",state="Running"} 0
	// watchsource_executors{app="app-2",state="Succeeded"} 0
	// watchsource_executors{app="app-2",state="Unknown"} 0
}

// A store that is divided by owners has a collector too, which adds the owners up.
func ExampleNewCollectorBy() {
	server := watchtest.NewServer() // in place of a cluster
	for _, owner := range []string{"one", "two"} {
		pod := executorPod("app-1", "exec-"+owner)
		pod.Labels["owner"] = owner
		server.Create(pod)
	}
	store := watchsource.NewStoreBy(func(pod metav1.Object) (string, bool) {
		owner, ok := pod.GetLabels()["owner"]
		return owner, ok
	})
	source := watchsource.NewWatchSnapshotSource(store, server.Client())
	collector := metrics.NewCollectorBy(source, store)
	defer collector.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	show(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), "/metrics", `watchsource_executors{state="Pending"}`)
	// Output: watchsource_executors{state="Pending"} 2
}

// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"net/http"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/kubernetes"
)

// A scheduler that serves its metrics, and a liveness probe.
func ExampleNewCollector() {
	var client kubernetes.Interface // of the cluster
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client)
	collector := metrics.NewCollector(source, store)
	defer collector.Close()
	prometheus.MustRegister(collector)

	http.Handle("GET /metrics", promhttp.Handler())
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := source.Healthy(3 * time.Minute); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	// Start the source, and serve.
}

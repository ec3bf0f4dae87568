// SPDX-License-Identifier: Apache-2.0

// Package check tests the metrics, the alerts and the dashboard with Prometheus's own code. It
// is a separate module, because Prometheus has many dependencies.
package check

import (
	"errors"
	"io"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scrape returns the series of a source with one executor that has failed, as a Prometheus
// server parses them, with their values.
func scrape(t *testing.T, accept string) map[string]float64 {
	t.Helper()
	server := watchtest.NewServer()
	server.Create(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      "exec-1",
			Namespace: "default",
			Labels:    map[string]string{watchsource.LabelApp: "app", watchsource.LabelRole: watchsource.RoleExecutor, watchsource.LabelExecutorID: "1"},
		},
		Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"},
	})
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, server.Client())
	collector := metrics.NewCollector(source, store, metrics.PerApplication())
	t.Cleanup(collector.Close)
	if err := source.Start("app"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Stop)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector)
	request := httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", accept)
	response := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(response, request)
	return parse(t, response.Body.Bytes(), response.Header().Get("Content-Type"))
}

func parse(t *testing.T, text []byte, contentType string) map[string]float64 {
	t.Helper()
	p, err := textparse.New(text, contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return series
		}
		if err != nil {
			t.Fatalf("parse %s: %v", contentType, err)
		}
		if entry == textparse.EntrySeries {
			var l labels.Labels
			p.Labels(&l)
			_, _, value := p.Series()
			series[l.String()] = value
		}
	}
}

func TestPrometheusReadsTheMetrics(t *testing.T) {
	for _, accept := range []string{"text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"} {
		series := scrape(t, accept)
		for name, want := range map[string]float64{
			`{__name__="watchsource_executors", app="app", state="Failed"}`:                               1,
			`{__name__="watchsource_executors", app="app", state="Running"}`:                              0,
			`{__name__="watchsource_executor_ends_total", app="app", reason="OOMKilled", state="Failed"}`: 0,
			`{__name__="watchsource_watching", app="app"}`:                                                1,
			`{__name__="watchsource_lists_total", app="app"}`:                                             1,
		} {
			if got, ok := series[name]; !ok || got != want {
				t.Errorf("%s: %s is %v (present: %t), want %v", accept, name, got, ok, want)
			}
		}
	}
}

// promtool tests the alerts with series of samples.
func TestAlerts(t *testing.T) {
	for _, arguments := range [][]string{
		{"check", "rules", "--lint=all", "--lint-fatal", "../alerts.yaml"},
		{"test", "rules", "alerts_test.yaml"},
	} {
		command := exec.CommandContext(t.Context(), "go", append([]string{"tool", "promtool"}, arguments...)...)
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
		}
	}
}

// metricNames returns the names of all metrics of a collector.
func metricNames(t *testing.T) []string {
	t.Helper()
	descs := make(chan *prometheus.Desc, 100)
	metrics.NewSharedCollector().Describe(descs)
	close(descs)
	var names []string
	for desc := range descs {
		_, name, _ := strings.Cut(desc.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		names = append(names, name)
	}
	return names
}

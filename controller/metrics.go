// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"github.com/executorpods/watchsource/metrics"
)

// collectors has the collector of a Watch, which is made when it is asked for.
type collectors struct {
	once      sync.Once
	collector *metrics.Collector
}

// Collector returns the metrics of the watch and of all its pods: those of package
// github.com/executorpods/watchsource/metrics, which has their list. Register it in
// controller-runtime's registry before the manager starts:
//
//	metrics.Registry.MustRegister(watch.Collector())
//
// If a program has several Watches, give each another label with
// [github.com/prometheus/client_golang/prometheus.WrapRegistererWith]. Each call returns the same
// collector. It has a goroutine until its Close.
func (w *Watch[request]) Collector() *metrics.Collector {
	w.metrics.once.Do(func() { w.metrics.collector = metrics.NewCollectorBy(w.source, w.store) })
	return w.metrics.collector
}

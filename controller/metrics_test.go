// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// The registry of controller-runtime, which a manager serves, has the metrics of the watch.
func TestMetricsInTheRegistryOfControllerRuntime(t *testing.T) {
	inBubble(t, func(e env) {
		collector := e.watch.Collector()
		defer collector.Close()
		if e.watch.Collector() != collector {
			e.Error("a second call returns another collector")
		}
		metrics.Registry.MustRegister(collector)
		defer metrics.Registry.Unregister(collector)
		e.pod("a", "a-0")
		e.pod("b", "b-0")
		e.start(e.Context())
		e.end("a-0", 1)
		synctest.Wait()
		err := testutil.GatherAndCompare(metrics.Registry, strings.NewReader(`
# HELP watchsource_executors Executors by state.
# TYPE watchsource_executors gauge
watchsource_executors{state="Failed"} 1
watchsource_executors{state="Pending"} 0
watchsource_executors{state="Running"} 1
watchsource_executors{state="Succeeded"} 0
watchsource_executors{state="Unknown"} 0
# HELP watchsource_watching 1 if the view of the executors is current, 0 otherwise.
# TYPE watchsource_watching gauge
watchsource_watching 1
`), "watchsource_executors", "watchsource_watching")
		must(e.T, err)
	})
}

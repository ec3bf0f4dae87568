// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
)

// The decoder has one time series while a source is started, with its name, and none otherwise.
// A SharedWatch has one for all its applications.
func TestDecoderMetric(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = "client-go: the client asks for application/json"
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.JSONClient())
		collector := metrics.NewSharedCollector()
		defer collector.Close()
		var applications []*application
		for _, id := range []string{"a", "b"} {
			a := newApplication(id, shared.Source)
			applications = append(applications, a)
			a.addTo(t, collector)
		}
		requireMetrics(t, collector, "", "watchsource_decoder_info")
		for _, a := range applications {
			a.start(t)
			requireMetrics(t, collector, decoderText(slow), "watchsource_decoder_info")
		}
		for _, a := range applications {
			requireMetrics(t, collector, decoderText(slow), "watchsource_decoder_info")
			a.source.Stop()
		}
		requireMetrics(t, collector, "", "watchsource_decoder_info")
	})
}

// With the option PerApplication the decoder of a source has the label app, as all metrics of its watch.
func TestDecoderMetricPerApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApplication("app", single(watchtest.NewServer()))
		collector := metrics.NewCollector(a.source, a.store, metrics.PerApplication())
		defer collector.Close()
		a.start(t)
		requireMetrics(t, collector, decoderHeader+"watchsource_decoder_info{app=\"app\",decoder=\"protobuf\"} 1\n", "watchsource_decoder_info")
	})
}

const decoderHeader = `
# HELP watchsource_decoder_info What decodes the pods: protobuf is the decoder of watchsource.
# TYPE watchsource_decoder_info gauge
`

func decoderText(decoder string) string {
	return fmt.Sprintf("%swatchsource_decoder_info{decoder=%q} 1\n", decoderHeader, decoder)
}

// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/executorpods/watchsource"
	"github.com/prometheus/client_golang/prometheus"
)

// descriptions are the metrics of a collector.
type descriptions struct {
	executors, ends, synced *prometheus.Desc
	counts                  [len(watchCounters)]*prometheus.Desc
	watching, started       *prometheus.Desc
	contact, verified       *prometheus.Desc
	decoder                 *prometheus.Desc
	backlog, drops          *prometheus.Desc
}

// watchCounters are the counts of a watch.
var watchCounters = [...]struct {
	name, help string
	of         func(watchsource.Status) int
}{
	{"lists_total", "Complete lists received, the first included.", func(s watchsource.Status) int { return s.Lists }},
	{"relists_total", "Complete lists received after the first.", func(s watchsource.Status) int { return s.Relists }},
	{"resumes_total", "Watches opened at the version where another watch ended.", func(s watchsource.Status) int { return s.Resumes }},
	{"stalls_total", "Watches given up because they went silent.", func(s watchsource.Status) int { return s.Stalls }},
	{"errors_total", "Requests and watches that ended with an error.", func(s watchsource.Status) int { return s.Errors }},
	{"events_total", "Pod events received.", func(s watchsource.Status) int { return s.Events }},
}

// describe returns the metrics, with the label app for executors, and for the watch.
func describe(executorApp, watchApp bool) descriptions {
	executors := func(name, help string, labels ...string) *prometheus.Desc {
		return newDesc(name, help, executorApp, labels)
	}
	watch := func(name, help string, labels ...string) *prometheus.Desc {
		return newDesc(name, help, watchApp, labels)
	}
	d := descriptions{
		executors: executors("executors", "Executors by state.", "state"),
		ends:      executors("executor_ends_total", "Executors that have ended since the collector began, by state and reason. Deleted: without an end.", "state", "reason"),
		synced:    executors("synced_timestamp_seconds", "When the last complete list arrived."),
		watching:  watch("watching", "1 if the view of the executors is current, 0 otherwise."),
		started:   watch("started_sources", "Sources that are started."),
		verified:  watch("last_verification_timestamp_seconds", "When the pods were last verified, with WithVerification."),
		contact:   watch("last_contact_timestamp_seconds", "When the API server last answered."),
		decoder:   watch("decoder_info", "What decodes the pods: protobuf is the decoder of watchsource.", "decoder"),
		backlog:   watch("backlog_changes", "Changes that wait for a reader of batches, by the reader's line of code.", "reader"),
		drops:     watch("backlog_dropped_total", "How often a reader of batches was found with a dropped backlog.", "reader"),
	}
	for i, c := range watchCounters {
		d.counts[i] = watch(c.name, c.help)
	}
	return d
}

func newDesc(name, help string, app bool, labels []string) *prometheus.Desc {
	if app {
		labels = append(labels, "app")
	}
	return prometheus.NewDesc("watchsource_"+name, help, labels, nil)
}

func (d descriptions) all() []*prometheus.Desc {
	return append(d.counts[:], d.executors, d.ends, d.synced, d.watching, d.started, d.contact, d.verified, d.decoder, d.backlog, d.drops)
}

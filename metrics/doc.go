// SPDX-License-Identifier: Apache-2.0

// Package metrics exports what watchsource knows about executors and about its watches to
// Prometheus.
//
//	source, store := ...
//	prometheus.MustRegister(metrics.NewCollector(source, store))
//
// Applications that share a watch share a collector:
//
//	collector := metrics.NewSharedCollector()
//	prometheus.MustRegister(collector)
//	err := collector.Add(source, store) // before Start
//	collector.Remove(source)            // after Stop
//
// A store that is divided by owners has [NewCollectorBy].
//
// A collector reads its values when Prometheus scrapes. Only the ends of executors are
// counted as they happen, because Kubernetes may have deleted the pod before the next
// scrape. For that a collector has one goroutine per store, and none after Close or Remove.
//
// If the source does not feed the store, Add returns an error, and the registration of the collector
// of NewCollector fails.
//
// # Which ends count
//
// An end counts if it comes after the collector began: with a source when it was added, and after a
// Start for another application when the source was stopped before. An executor that the collector
// has seen counts whenever it ends. An executor that it first sees when it has ended counts if it was
// created, started or ended since then, to the second. So those that ended long before a restart of the
// scheduler do not count, and neither does an old pod that is labelled later. An end without a time,
// as that of an evicted pod, counts if the executor was seen before, or was created since then.
//
// An end counts once, even if the pod moves to another application or owner. A pod that moves has not
// ended. If kube-apiserver reports a pod without the label of the application as deleted, and the pod
// had not ended, it counts as Deleted. After another Start of the same application, the executors that
// have ended or left in between count, one end for each.
//
// The times are those of the node and of the API server. If the clock of a node is ahead, an end
// from before may count if it is less old than the difference.
//
// # Metrics
//
//   - watchsource_executors{state}, gauge: the executors by [watchsource.State].
//   - watchsource_executor_ends_total{state,reason}, counter: the executors that have ended
//     since the collector began. The state is Succeeded or Failed, or Deleted for an executor whose pod is gone without
//     an end. The reason is one of a fixed list, "other", or "none". The usual reasons are
//     present from the beginning. With PerApplication they are present once a source is added.
//   - watchsource_lists_total, watchsource_relists_total, watchsource_resumes_total,
//     watchsource_stalls_total, watchsource_errors_total, watchsource_events_total, counters:
//     those of [watchsource.Status]. They go on after another Start. What a source counts between the
//     last scrape before Stop and the next Start does not count if no scrape finds the source stopped.
//   - watchsource_watching, gauge: 1 if the view is current, 0 otherwise.
//   - watchsource_started_sources, gauge: the sources that are started.
//   - watchsource_last_contact_timestamp_seconds, gauge: when the API server last answered.
//     It is absent before the first answer.
//   - watchsource_decoder_info{decoder}, gauge: 1 for what decodes the pods now. The label is
//     [watchsource.Status].Decoder, "protobuf" unless client-go decodes them. It is absent while
//     no source is started.
//   - watchsource_last_verification_timestamp_seconds, gauge: when the pods were last verified, see
//     [watchsource.Status].LastVerification. It is absent without [watchsource.WithVerification].
//   - watchsource_synced_timestamp_seconds, gauge: when the last complete list arrived, the
//     oldest of all applications. It is absent before the first list.
//   - watchsource_backlog_changes{reader}, gauge: the changes that wait for a reader of
//     [watchsource.Store.Batches]. A reader that has caught up has the value 0.
//   - watchsource_backlog_dropped_total{reader}, counter: how often a reader was found with a
//     dropped backlog, see [watchsource.WithBacklogLimit].
//
// No metric has a label with a pod or an executor, because each pod would be a new time
// series.
package metrics

// SPDX-License-Identifier: Apache-2.0

// Package watchsource lets a Go scheduler watch its executor pods on
// Kubernetes: which of them live, which died, and why.
//
// A [WatchSnapshotSource] is handed a client-go Interface and an application
// id. It opens a label-selected watch, heals it, and feeds what it sees through
// a [Watcher] into a [SnapshotsStore]. The [Store] of this package is one: it
// keeps an immutable, current [Snapshot] of the application's executors, which
// any goroutine can read for nothing, and tells readers what has changed. The
// model is Spark's ExecutorPodsWatchSnapshotSource with its ExecutorPodsWatcher
// and ExecutorPodsSnapshotsStore.
//
// # Usage
//
//	store := watchsource.NewStore()
//	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace("jobs"))
//	if err := source.Start("app-1"); err != nil {
//		return err // says what to do: which right is missing, which address is wrong
//	}
//	defer source.Stop()
//
//	for batch := range store.Batches(ctx, time.Second) {
//		for _, change := range batch.Changes {
//			if change.Ended() {
//				// change.After has Succeeded or Failed
//			}
//		}
//		running := batch.Snapshot.Count(watchsource.Running)
//	}
//
// [Store.Snapshot] is for a look at the present, [Store.Batches] for every
// change, [Store.WaitFor] and [Store.WaitForResourceVersion] for one moment,
// such as the one where a pod just created has come into view. That an executor
// is missing can be told only from a complete view that is newer than its pod:
// [Snapshot.Contains] and [Snapshot.SyncedAt].
//
// A scheduler with a cache of its own implements [SnapshotsStore]; [Tee] feeds
// it and a Store from one watch.
//
// # Guarantees
//
// Each has a test that bears its number, TestGuarantee1 and so on.
//
//  1. After Start the store has the complete state, and later equals what a
//     LIST at the same resource version returns. A complete list is the truth,
//     also if its versions are older than those known.
//  2. The states of one pod arrive in the order in which the API server
//     produced them, and nothing goes back to an older state. Versions are
//     compared within one history of the server only: a server that is restored
//     from a backup begins a new history, and the view follows it.
//  3. A pod that leaves in any way (deleted, force-deleted, relabelled out of
//     the selector, gone during a disconnection) is reported as gone exactly
//     once, with its last known state.
//  4. An end (Succeeded, Failed) that the API server showed is delivered to
//     every reader of Batches, however slow.
//  5. A fault of the transport costs a resume from the last resource version,
//     not a new list. A list is needed only if that version is gone (410), if the
//     server refuses it three times in a row or sends nothing from it, if the
//     server has begun a new history, or if an answer cannot be understood. Lists
//     are spaced out, whatever comes between them. An outage and a long silence
//     cost a look at the server's version, which is a list of one name.
//  6. A watch that has silently died is noticed and replaced, also when a proxy
//     keeps the connection alive. A quiet one is not mistaken for it.
//  7. Whatever goes wrong is visible: in [WatchSnapshotSource.Status] and
//     [WatchSnapshotSource.Healthy], in the log once per change of condition,
//     and to an observer, see [WithObserver]. A cluster in which nothing happens
//     is healthy; a source that cannot see any more is not, and says what the
//     server said.
//  8. A slow reader delays nobody, and costs memory by the number of distinct
//     executors whose changes it has not yet seen, never by events. A reader
//     that lags is named in the log; [Store.Backlogs] tells how far, and
//     [WithBacklogLimit] bounds it without silent loss.
//  9. A snapshot is immutable, O(1) to take, and says how fresh and how
//     complete it is.
//  10. After Stop nothing runs and nothing is called.
//  11. One bad pod (no labels, no status, odd id, unknown phase) is handled and
//     reported by itself, and disturbs no other.
//
// What is not guaranteed: that every intermediate state is seen. A pod that ran
// and was deleted while the API server could not be reached is reported as gone
// in the state it was last seen in. There is no order between different pods.
//
// With client-go's fake clientset, which has no resource versions, guarantees 2
// and 5 do not hold across an interruption: its watch is replaced by a new list.
//
// # Concurrency
//
// All methods of [WatchSnapshotSource] and [Store] are safe for concurrent use.
// One goroutine, from Start to the end of Stop, calls the SnapshotsStore; a
// store that blocks holds up the watch and Stop, and nothing else does. Readers
// of a [Store] never wait for it, nor it for them. Pods and executors that are
// handed out are shared: do not change them.
//
// # Cost
//
// An event copies the path to one place of a persistent array, six nodes of a
// cache line each at 100,000 pods; only pods that come, leave or change their
// executor id also cost paths in two sorted trees. Pods are read straight from the
// protobuf stream by a decoder of this library, on the client's own connections,
// credentials and rate limit: managedFields, and with [WithTrimmedPods] most of the
// spec, are checked and passed over before anything is allocated for them. Of a pod
// seen before only what has changed is read; its states share the rest, and pods
// share what they have in common. A client that asks for JSON or has a
// warning handler decodes by itself, and one that is wrapped is used as it is; the
// debug log says so. client-go repeats the requests of a wrapped client up to ten
// times if the server is busy, so that errors show later. One watch is open per
// source; at the start there is one list, and none after it while versions can be
// resumed. See the README for measurements.
//
// # Logging
//
// Messages go to the slog.Default of the moment, or where [WithLogger] says.
// Debug messages, one per pod event among them, have verbosity 4, slog's
// LevelDebug. Pods' specs and environments are never logged.
//
// # Testing
//
// Schedulers that use this package can be tested with client-go's fake
// clientset, or with the package watchtest: an API server for pods in memory
// that has resource versions, bookmarks and faults, and runs in a
// testing/synctest bubble.
//
// # Not here
//
// Creating and deleting pods, sharing one watch among applications, and
// resources other than pods. For many kinds of objects and reconciliation use
// controller-runtime; for all pods of a cluster, client-go's informers.
package watchsource

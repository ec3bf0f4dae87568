// SPDX-License-Identifier: Apache-2.0

// Package watchsource lets a Go scheduler watch its executor pods on Kubernetes:
// which of them run, which have ended, and why.
//
// A [WatchSnapshotSource] takes a client-go Interface and an application id. It opens
// a label-selected watch, repairs it after faults, and passes the pods through a
// [Watcher] to a [SnapshotsStore]. The [Store] of this package keeps an immutable,
// current [Snapshot] of the application's executors, which any goroutine can read without
// waiting, and reports changes to readers. It keeps each pod as the bytes that the server
// sent, and [Executor.Pod] decodes a copy when you call it. The model is Spark's
// ExecutorPodsWatchSnapshotSource with its ExecutorPodsWatcher and
// ExecutorPodsSnapshotsStore.
//
// A process with many applications has two ways to watch them with one watch. With a [SharedWatch] each
// application has a source and a store, and you start it by its id. A [StoreBy] has one
// source for all, and a snapshot for each owner of pods that comes: use it if you do not know the
// owners before, or read them all in one place, as an operator does.
//
// # Usage
//
//	store := watchsource.NewStore()
//	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace("jobs"))
//	if err := source.Start("app-1"); err != nil {
//		return err // says what to do: which right is missing, which address is wrong
//	}
//	defer source.Stop()
//	context.AfterFunc(ctx, source.Stop) // ends the loop below, with a last batch
//
//	for batch := range store.Batches(context.Background(), time.Second) {
//		for _, change := range batch.Changes {
//			if change.Ended {
//				// change.After has Succeeded or Failed
//			}
//		}
//		running := batch.Snapshot.Count(watchsource.Running)
//	}
//
// To end without a loss, stop the source and let the loop run out: it gets all that waits
// in a last batch, at once, and ends. If the context of Batches ends before the source
// stops, the loop ends in the same way, without the changes that the store receives after
// that.
//
// An [Executor] has what the state of an executor is made of. [Executor.Label] and
// [Executor.Annotation] read the rest of the metadata that schedulers need most, and
// [Executor.Pod] returns the whole pod.
//
// Use [Store.Snapshot] to read the present state and [Store.Batches] to see every
// change. Use [Store.WaitFor] and [Store.WaitForResourceVersion] to wait for a condition,
// for example until a new pod is in the view, and [Store.WaitForEnd] to wait for the end of one pod.
// An executor is missing only if a complete
// view that is newer than its pod lacks it: see [Snapshot.Contains] and
// [Snapshot.SyncedAt].
//
// Use one store for each source, also with a SharedWatch: a store has the executors of
// one source, and Start fails with [ErrStoreInUse] otherwise.
//
// If your scheduler already has a cache, implement [SnapshotsStore]. [Tee] feeds it and
// a Store from one watch.
//
// # Guarantees
//
// The tests of a guarantee have its number in their names, as TestGuarantee1EqualsList.
//
//  1. After Start the store has the complete state, and later it equals a LIST at the
//     same resource version. A complete list always replaces the view, even if its
//     versions are older. An event that the server or a proxy has lost is noticed and
//     repaired with [WithVerification].
//  2. The states of one pod arrive in the order in which the API server produced them,
//     and never go back to an older state. This holds within one history of the server.
//     A server that is restored from a backup begins a new history, and the view then
//     shows the new one.
//  3. A pod that leaves in any way (deleted, force-deleted, relabelled, gone during a
//     disconnection) is reported as gone exactly once, with its last known state, and
//     [Change.Gone] says how. A pod that changes its owner in a [StoreBy] leaves the first
//     owner in this way.
//
// Less formally: your view is never half a list, it only moves forward, and you need not search it
// for pods that have gone.
//
//  4. Each end (Succeeded, Failed) that the API server showed is delivered to every
//     reader of Batches, however slow the reader is. It is delivered once for each run
//     of the executor container, see [Change.Ended]. A graceful stop loses nothing that
//     the store knows: when the context of Batches ends, or the source stops, a reader is
//     shown what waits for it, then the sequence ends.
//
// Less formally: you hear once of each end that the API server showed, even if you ask late and the
// pod is gone.
//
//  5. A fault of the transport costs a resume from the last resource version, not a
//     list. A list is needed only if that version is gone (410), if the server refuses
//     it three times in a row or sends nothing from it, if the server has begun a new
//     history, if an answer cannot be understood, or if events were lost. Lists are spaced out. After an
//     outage, an early end in good order or a silence of two minutes the source checks the
//     server's version, with a list of one name. If a proxy cuts streams early, the source
//     asks for their end just before, so that its version does not grow old.
//  6. A watch that has died silently is noticed and replaced, even if a proxy keeps the
//     connection alive. A quiet watch is not mistaken for a dead one.
//  7. Every fault is visible: in [WatchSnapshotSource.Status] and
//     [WatchSnapshotSource.Healthy], in the log once per change of condition and as an
//     error after three minutes, and to an observer, see [WithObserver]. A cluster in
//     which nothing happens is healthy, also behind a proxy that holds answers back or cuts
//     idle streams. A source that receives only errors from the API server, or nothing, is
//     not healthy, even if an API server without its etcd goes on opening watches. The error
//     of Healthy contains the last error, if there is one.
//
// Less formally: the source repairs the watch and spares the API server. While it cannot, your view
// may be old, and you can see that.
//
//  8. A slow reader delays no other code. Its backlog needs memory for each executor
//     with changes that it has not seen, not for each event. The store logs the name of
//     a reader that lags. [Store.Backlogs] returns how far it lags, and
//     [WithBacklogLimit] bounds the memory and reports the loss.
//  9. A snapshot is immutable, O(1) to take, and shows how fresh and how complete it is. It
//     shares no memory that a reader can change: [Executor.Pod] returns a copy.
//
// Less formally: read as slowly as you like and keep a snapshot as long as you like. You delay no
// other code, and no other code changes what you hold.
//
//  10. After Stop nothing runs and nothing is called.
//  11. A malformed pod (no labels, no phase, odd id, unknown phase) is tracked and
//     reported, and does not affect others.
//
// Less formally: when Stop has returned you may free all that your store uses, and one bad pod costs
// you one executor.
//
// Intermediate states may be missed. If a pod ran and was deleted while the API server
// could not be reached, it is reported as gone in its last known state. Different pods
// have no order.
//
// client-go's fake clientset gives its pods no resource versions. Its lists have none (0.35)
// or those of a counter of the fake (0.36 and later), which no pod has. With it, guarantees 2
// and 5 do not hold across an interruption, because the source lists again.
//
// # Concurrency
//
// All methods of [WatchSnapshotSource], [Store] and [StoreBy] are safe for concurrent use. The
// watch goroutine runs from Start to the end of Stop and calls the SnapshotsStore. A
// store that blocks delays only the watch and Stop. With [WithNamespaces] each namespace has a
// goroutine, and they call the SnapshotsStore one after the other. With a [SharedWatch] one goroutine
// watches for all applications, and a SnapshotsStore of your own is called by
// another, so that it delays no other application. Reading a Store never blocks writing,
// and writing never blocks reading. All readers share the executors of a [Change]: do not
// change them. The executors of a [Snapshot] and all pods are copies.
//
// # Cost
//
// There is one watch per source and one list at the start, or one for each namespace with
// [WithNamespaces]. The sources of a [SharedWatch]
// have one watch together. The source reads pods itself, and uses the client's
// connections, credentials and rate limit.
//
// A [Store] keeps a pod as bytes, without its managedFields. The bytes that pods have in
// common are in memory once. A call of [Executor.Pod] costs about as much as client-go's
// decoding of the pod.
//
// If the client asks for JSON or is wrapped, or the API server answers in JSON, client-go decodes
// the pods at a higher cost, and the Store keeps them decoded. Status.Decoder says so with the
// reason, and the log has one line at each Start. All other settings of a client cost nothing: a
// warning handler receives the warnings of all requests. The pods of a fake and those that come
// through [Tee] are also kept decoded. DESIGN.md describes how the costs arise, and the README has
// measurements.
//
// # Logging
//
// Messages go to the handler of slog.Default, or to the logger of [WithLogger]. Debug
// messages, including one per pod event, have verbosity 4, which is slog's LevelDebug.
// The beginning and the end of a fault and a slow decoder have slog's LevelInfo, and a silence of
// the API server for three minutes has LevelError. The library never logs a pod's spec or environment.
//
// # Testing
//
// Test your scheduler with client-go's fake clientset or with the package watchtest.
// watchtest is an API server for pods in memory, with resource versions, bookmarks, faults
// and a simulated kubelet, and runs in a testing/synctest bubble.
//
// A client is taken for a fake if its CoreV1().RESTClient() is nil, as that of client-go's fake
// is, also inside a wrapper that embeds it. The view is complete, whether the fake's watch
// begins with nothing (0.35), with the pods that are newer than the list (0.36, 0.37), or also
// with the deletions since then (0.38). The watch of a fake has no stall timeout, so a
// watcher that a test returns from a reactor may be quiet. Wait for a new pod with
// [Store.WaitFor]: [Store.WaitForResourceVersion] needs a version.
//
// # Not here
//
// This package does not create or delete pods, and does not watch other resources. For
// many kinds of objects and reconciliation use controller-runtime. For all pods of a
// cluster use client-go's informers.
package watchsource

// SPDX-License-Identifier: Apache-2.0

// Package controller lets an operator that is built with controller-runtime watch the pods that
// it owns with watchsource: one reconcile for all changes of an owner, a fraction of the memory of
// the manager's pod cache, and no lost end.
//
//	client, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
//	...
//	pods := controller.New(client, controller.ByControllerOf(batchJobKind), controller.Options{Selector: selector})
//	source := pods.Source()
//	err = builder.ControllerManagedBy(mgr).
//		For(&BatchJob{}).
//		WatchesRawSource(source).
//		Complete(source.Reconciler(reconcileJob))
//
// A [Watch] has one watch of pods, and the view of them, divided by owners. A [Source] of it
// enqueues the owners for one controller. A reconcile gets a [Look]: the view of its owner, and
// the ends since the last look.
//
// # Replaces
//
//   - Owns(&corev1.Pod{}) and the informer of all pods behind it: the source enqueues an owner once
//     an interval, and not once for each event.
//   - Expectations and grace periods for a cache that lags: wait until the view has what you
//     have written, with WaitForResourceVersion of [Watch.Store].
//   - Tombstones: an end is in [Look.Ends] with its exit code and reason, even after the pod has gone.
//   - Reads of pods with the manager's client, which start an informer: use [Watch.Client].
//
// # Promises
//
//  1. The source adds an owner at most once an interval, and after the view has the change that is
//     the cause. It never uses the queue's rate limiter, whose bucket all requests of a controller
//     share. The owners that are there at the start have the low priority of an informer's list.
//  2. Start does not wait for the API server. WaitForSync fails with the error of the watch, so that
//     a controller that lacks a right ends at once, with a text that names the right.
//  3. All sources of a Watch share one watch, which is open while one of them is started.
//  4. Each source has each end once, until it is acknowledged: see [Look]. The guarantees of package
//     watchsource hold for the view.
//  5. Reading from the view sends no request and starts no informer.
//
// # To count each end once
//
// The first look after a start has the ends of all pods that are there, because a new process
// cannot know which of them the old one has recorded. And an end is lost if the pod is deleted
// while no process watches. So an operator that counts ends in the status of its resource must do
// two things:
//
//   - Record in the status which ends it has counted, in the same write as the counts. If your pods
//     have names or indexes that you choose, a set of indexes is enough, and the text of an interval
//     ("0-799,805") keeps it short. A write with the version that was read (Update, or a patch with an
//     optimistic lock) fails if another process has counted in between. A list of UIDs works too, and
//     needs 36 bytes for each end.
//   - Give the pods a finalizer, and remove it when the status has the end. The pod then stays, with
//     its exit code, however long no process watches. That costs one patch for each pod.
//
// Neither is enough alone. Without the record, an end is counted again if the process ends between
// the write of the status and the removal of the finalizer. Without the finalizer, ends are lost
// while no process watches. Kubernetes' Job does the same: a finalizer, and a list of UIDs for the
// time in between. The program in the folder example shows it.
//
// # Leader election
//
// A controller starts its sources when the manager has the lease, or before with EnableWarmup. A
// manager that loses the lease ends the program. Add the Watch itself to the manager to have the
// view without the lease: mgr.Add(pods).
//
// # Versions
//
// The module works with controller-runtime 0.23, 0.24 and 0.25. Its go.mod asks for the oldest.
package controller

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// workerCounts are how many workers of an owner are in each state.
type workerCounts struct{ pending, running, succeeded, failed int }

// statusPatch is the merge patch of a Job with these workers.
func (c workerCounts) statusPatch() client.Patch {
	return client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"status":{"active":%d,"ready":%d,"succeeded":%d,"failed":%d}}`,
		c.pending+c.running, c.running, c.succeeded, c.failed))
}

// A reconciler is what all operators do when they have counted the workers of an owner: they write
// the counts to its status if they have changed. It remembers the status, where an operator would
// read the owner from a cache.
type reconciler struct {
	// Fixed after newReconciler.
	status client.StatusWriter
	log    *reconcileLog

	mu      sync.Mutex
	written map[types.NamespacedName]workerCounts
}

func newReconciler(status client.StatusWriter, log *reconcileLog) *reconciler {
	return &reconciler{status: status, log: log, written: map[types.NamespacedName]workerCounts{}}
}

func (r *reconciler) reconcile(ctx context.Context, owner types.NamespacedName, counts workerCounts) (reconcile.Result, error) {
	r.log.add(owner.Name, counts)
	if r.isWritten(owner, counts) {
		return reconcile.Result{}, nil
	}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: owner.Namespace, Name: owner.Name}}
	if err := r.status.Patch(ctx, job, counts.statusPatch()); err != nil {
		return reconcile.Result{}, fmt.Errorf("write the status of %s: %w", owner, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[owner] = counts
	return reconcile.Result{}, nil
}

func (r *reconciler) isWritten(owner types.NamespacedName, counts workerCounts) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	written, ok := r.written[owner]
	return ok && written == counts
}

// A reconcileLog counts reconciles, and notes when they have seen all changes.
type reconcileLog struct {
	sizes    ownerSizes
	complete chan struct{} // closed when each of the other owners has been reconciled with its workers
	ended    chan struct{} // closed when the last changes of both owners have been seen

	mu         sync.Mutex
	reconciled map[string]bool // the other owners that have been reconciled with their workers
	counted    reconciles
}

// reconciles are how often owners were reconciled since the scenario began, and when the last
// changes of the two owners were seen, 0 for not yet.
type reconciles struct {
	first, second, rest   int
	firstSeen, secondSeen int64 // Unix time in nanoseconds
}

func newReconcileLog(sizes ownerSizes) *reconcileLog {
	return &reconcileLog{sizes: sizes, complete: make(chan struct{}), ended: make(chan struct{}), reconciled: map[string]bool{}}
}

// begin forgets the reconciles of the initial list.
func (l *reconcileLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counted = reconciles{}
}

// add counts a reconcile that has seen some workers.
func (l *reconcileLog) add(owner string, counts workerCounts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.counted
	switch owner {
	case firstOwner:
		c.first++
		l.see(&c.firstSeen, counts.succeeded == l.sizes.Workers)
		return
	case secondOwner:
		c.second++
		l.see(&c.secondSeen, counts.succeeded == 1)
	default:
		c.rest++
	}
	if counts.running == l.sizes.Each && !l.reconciled[owner] {
		l.reconciled[owner] = true
		if len(l.reconciled) == l.sizes.Others {
			close(l.complete)
		}
	}
}

// see notes the time of the first reconcile that has seen all.
func (l *reconcileLog) see(seen *int64, all bool) {
	if !all || *seen != 0 {
		return
	}
	*seen = time.Now().UnixNano()
	if l.counted.firstSeen != 0 && l.counted.secondSeen != 0 {
		close(l.ended)
	}
}

// counts returns the reconciles so far.
func (l *reconcileLog) counts() reconciles {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted
}

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
	r.log.count(owner.Name)
	if err := r.write(ctx, owner, counts); err != nil {
		return reconcile.Result{}, fmt.Errorf("write the status of %s: %w", owner, err)
	}
	r.log.see(owner.Name, counts)
	return reconcile.Result{}, nil
}

// write writes the counts to the status of an owner, unless they are there.
func (r *reconciler) write(ctx context.Context, owner types.NamespacedName, counts workerCounts) error {
	if r.isWritten(owner, counts) {
		return nil
	}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: owner.Namespace, Name: owner.Name}}
	if err := r.status.Patch(ctx, job, counts.statusPatch()); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[owner] = counts
	return nil
}

func (r *reconciler) isWritten(owner types.NamespacedName, counts workerCounts) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	written, ok := r.written[owner]
	return ok && written == counts
}

// A reconcileLog counts reconciles, and notes when the statuses have all changes.
type reconcileLog struct {
	sizes    ownerSizes
	complete chan struct{} // closed when the status of each of the other owners has its workers
	ended    chan struct{} // closed when the statuses of both owners have their last changes

	mu      sync.Mutex
	have    map[string]bool // the other owners whose status has their workers
	counted reconciles
}

// reconciles are how often owners were reconciled since the scenario began, and when the statuses
// of the two owners had their last changes, 0 for not yet.
type reconciles struct {
	first, second, rest   int
	firstSeen, secondSeen int64 // Unix time in nanoseconds
}

func newReconcileLog(sizes ownerSizes) *reconcileLog {
	return &reconcileLog{sizes: sizes, complete: make(chan struct{}), ended: make(chan struct{}), have: map[string]bool{}}
}

// begin forgets the reconciles of the initial list.
func (l *reconcileLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counted = reconciles{}
}

// count counts a reconcile.
func (l *reconcileLog) count(owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch owner {
	case firstOwner:
		l.counted.first++
	case secondOwner:
		l.counted.second++
	default:
		l.counted.rest++
	}
}

// see notes that the status of an owner has some workers.
func (l *reconcileLog) see(owner string, counts workerCounts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case owner == firstOwner && counts.succeeded == l.sizes.Workers:
		l.end(&l.counted.firstSeen)
	case owner == secondOwner && counts.succeeded == 1:
		l.end(&l.counted.secondSeen)
	case owner != firstOwner && counts.running == l.sizes.Each && !l.have[owner]:
		l.have[owner] = true
		if len(l.have) == l.sizes.Others {
			close(l.complete)
		}
	}
}

// end notes when the status of an owner had its last change first.
func (l *reconcileLog) end(seen *int64) {
	if *seen != 0 {
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

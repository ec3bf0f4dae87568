// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// A Source enqueues the owners of the pods of a [Watch] for one controller. It is a
// [sigs.k8s.io/controller-runtime/pkg/source.TypedSyncingSource]: pass it to WatchesRawSource of
// a builder, or to Watch of a controller.
//
// It adds an owner at most once an interval, however many of the owner's pods have changed, and
// after the view has the changes. It uses Add and not AddRateLimited, so that it takes no token
// of the bucket that all requests of a controller share. The owners that are there at the start
// have the low priority that controller-runtime gives to the first list of an informer.
//
// Its methods are safe for concurrent use.
type Source[request comparable] struct {
	watch *Watch[request]

	// Guarded by mu.
	mu  sync.Mutex
	run *sourceRun[request] // of the last Start
}

// A sourceRun is the time from a Start of a Source to the end of its context.
type sourceRun[request comparable] struct {
	ctx     context.Context
	session *session
	ends    ends[request]
}

// Source returns a source for one controller. All sources of a Watch share it, and each of them
// receives every change.
func (w *Watch[request]) Source() *Source[request] { return &Source[request]{watch: w} }

// Start opens the watch, or shares it, and then fills the queue until ctx ends. It does not wait
// for the watch: WaitForSync does. Only a controller calls it.
func (s *Source[request]) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[request]) error {
	if err := s.watch.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil && s.run.ctx.Err() == nil {
		return errors.New("watchsource: the source is in use by a controller: call Watch.Source for each controller")
	}
	s.run = &sourceRun[request]{ctx: ctx, session: s.watch.acquire(ctx)}
	go s.feed(s.run, queue)
	return nil
}

// WaitForSync returns when the view has all pods, or why it cannot be had: a right that is
// missing is named at once. Only a controller calls it.
func (s *Source[request]) WaitForSync(ctx context.Context) error {
	run := s.current()
	if run == nil {
		return errors.New("watchsource: the source is not started")
	}
	err := run.session.wait(ctx)
	if err != nil && ctx.Err() != nil {
		return s.watch.notSynced(err)
	}
	return err
}

// String returns a text for the log of a controller.
func (s *Source[request]) String() string { return s.watch.String() }

func (s *Source[request]) current() *sourceRun[request] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// feed fills a queue until the context of the run ends.
func (s *Source[request]) feed(run *sourceRun[request], queue workqueue.TypedRateLimitingInterface[request]) {
	if run.session.wait(run.ctx) != nil {
		return
	}
	firstRound := true
	for owner, batch := range s.watch.store.Batches(run.ctx, s.watch.options.Interval) {
		firstRound = firstRound && batch.Full
		if !s.watch.options.WithoutEnds {
			run.ends.add(owner, batch.Changes)
		}
		if firstRound {
			addFirst(queue, owner)
		} else {
			queue.Add(owner)
		}
	}
}

// addFirst enqueues an owner of the first round, with a low priority if the queue has priorities.
func addFirst[request comparable](queue workqueue.TypedRateLimitingInterface[request], owner request) {
	prioritized, ok := queue.(priorityqueue.PriorityQueue[request])
	if !ok {
		queue.Add(owner)
		return
	}
	low := handler.LowPriority
	prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &low}, owner)
}

// Reconciler returns a reconciler for the controller of the source. It calls reconcile with the
// [Look] of the request, and acknowledges the look if reconcile returns no error. If reconcile
// fails or panics, the next call has the same ends again.
func (s *Source[request]) Reconciler(reconcile func(ctx context.Context, owner request, look Look) (reconcile.Result, error)) reconcile.TypedReconciler[request] {
	return reconciler[request]{s, reconcile}
}

type reconciler[request comparable] struct {
	source    *Source[request]
	reconcile func(context.Context, request, Look) (reconcile.Result, error)
}

func (r reconciler[request]) Reconcile(ctx context.Context, owner request) (reconcile.Result, error) {
	look := r.source.Of(owner)
	result, err := r.reconcile(ctx, owner, look)
	if err == nil {
		look.Acknowledge()
	}
	return result, err
}

// SPDX-License-Identifier: Apache-2.0

package workerjob

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
)

// viewTimeout bounds the wait until the view has the pods that were created. It is long only if
// the watch is interrupted.
const viewTimeout = 10 * time.Second

// A Reconciler reconciles WorkerJobs.
type Reconciler struct {
	client.Client
	// Live reads a job from the API server, and not from a cache: see Reconcile.
	Live client.Reader
	Pods *controller.Watch[reconcile.Request]
}

// Reconcile counts the ends of workers, releases their pods and creates the pods that are missing.
// The order matters.
//
// The job is read after the view of its pods. A pod leaves the view only after its end is in the
// status, because the finalizer keeps it. So a worker that has no pod in the view and is not in the
// status of the job has never ended, and its pod must be created. A job from a cache may be older
// than the view, and its workers would run twice.
//
// The status is written before the finalizers are removed. If the process ends in between, the
// next one sees ends that the status has, does not count them again, and releases the pods.
func (r *Reconciler) Reconcile(ctx context.Context, owner reconcile.Request, look controller.Look) (reconcile.Result, error) {
	var job WorkerJob
	err := r.Live.Get(ctx, owner.NamespacedName, &job)
	switch {
	case apierrors.IsNotFound(err):
		return reconcile.Result{}, r.release(ctx, look.Snapshot, uncounted)
	case err != nil:
		return reconcile.Result{}, err
	case job.DeletionTimestamp != nil:
		return reconcile.Result{}, r.finish(ctx, &job, look.Snapshot)
	}
	if err := r.patch(ctx, &job, controllerutil.AddFinalizer); err != nil {
		return reconcile.Result{}, err
	}
	ended, err := r.record(ctx, &job, look)
	if err != nil {
		return reconcile.Result{}, err
	}
	if err := r.release(ctx, look.Snapshot, func(e watchsource.Executor) bool { return mustRelease(e, ended) }); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, r.create(ctx, &job, missing(look.Snapshot, ended))
}

// record brings the status of the job up to date, and returns the workers whose end is in it. The
// API server refuses the update if another process has changed the job since it was read.
func (r *Reconciler) record(ctx context.Context, job *WorkerJob, look controller.Look) (*indexes, error) {
	ended, err := parseIndexes(job.Status.Ended, job.Spec.Workers)
	if err != nil {
		return nil, reconcile.TerminalError(err)
	}
	before := job.Status.deepCopy()
	job.Status.update(look, ended)
	if equality.Semantic.DeepEqual(before, job.Status) {
		return ended, nil
	}
	return ended, r.Status().Update(ctx, job)
}

// release removes the finalizer from the pods of some executors.
func (r *Reconciler) release(ctx context.Context, snapshot watchsource.Snapshot, some func(watchsource.Executor) bool) error {
	for executor := range snapshot.All() {
		if !some(executor) {
			continue
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: executor.Namespace, Name: executor.Name}}
		if err := r.Patch(ctx, pod, releasePatch(executor.UID)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("release pod %s: %w", executor.Name, err)
		}
	}
	return nil
}

// uncounted is for release if the job is not there any more: no end will be counted.
func uncounted(executor watchsource.Executor) bool {
	_, ok := executor.Label(LabelUncounted)
	return ok
}

// create creates pods and waits until the view has them. A pod that exists is one that another
// process has created, or that the view does not have yet.
func (r *Reconciler) create(ctx context.Context, job *WorkerJob, workers []int) error {
	last := ""
	for _, index := range workers {
		pod := newPod(job, index)
		err := r.Create(ctx, pod)
		switch {
		case err == nil:
			last = pod.ResourceVersion
		case !apierrors.IsAlreadyExists(err):
			return fmt.Errorf("create pod %s: %w", pod.Name, err)
		}
	}
	if last == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, viewTimeout)
	defer cancel()
	_, err := r.Pods.Store().WaitForResourceVersion(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(job)}, last)
	return err
}

// finish removes the pods of a job that is deleted, and then lets the job go. The next reconcile
// comes with the pods' departure.
func (r *Reconciler) finish(ctx context.Context, job *WorkerJob, snapshot watchsource.Snapshot) error {
	if err := r.release(ctx, snapshot, uncounted); err != nil {
		return err
	}
	if snapshot.Len() > 0 {
		return r.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(job.Namespace), client.MatchingLabels{LabelJob: job.Name})
	}
	return client.IgnoreNotFound(r.patch(ctx, job, controllerutil.RemoveFinalizer))
}

// patch adds or removes the finalizer of a job. An update would also write the spec, with the
// fields that the types of this program add to it.
func (r *Reconciler) patch(ctx context.Context, job *WorkerJob, change func(client.Object, string) bool) error {
	before := job.DeepCopyObject().(*WorkerJob)
	if !change(job, Finalizer) {
		return nil
	}
	return r.Patch(ctx, job, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

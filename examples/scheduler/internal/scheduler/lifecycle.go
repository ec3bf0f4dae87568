// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
)

var errTooManyFailures = errors.New("giving up")

// lifecycle interprets the changes of executors: which are up, which cannot start, which
// are lost and why. Its model is Spark's ExecutorPodsLifecycleManager.
type lifecycle struct {
	maxFailures int
	pods        typedcorev1.PodInterface
	allocator   *allocator
	report      *report

	failures int
	// known has the last shown state of each executor, by pod name. The end of a known
	// executor counts once, even if a batch is Full and shows it without a Before.
	known   map[string]watchsource.Executor
	waiting map[string]bool // executors whose wait has been reported, by pod name
}

func newLifecycle(maxFailures int, pods typedcorev1.PodInterface, allocator *allocator, report *report) *lifecycle {
	return &lifecycle{
		maxFailures: maxFailures,
		pods:        pods,
		allocator:   allocator,
		report:      report,
		known:       map[string]watchsource.Executor{},
		waiting:     map[string]bool{},
	}
}

// outcome is the way in which an executor was lost.
type outcome int

const (
	failed   outcome = iota // it ended with an error
	finished                // it ended by itself, without an error
	deleted                 // deleted by another client
)

// ending is the end of an executor's work. Every executor has at most one, although several
// changes can follow: its pod is being deleted, fails while it shuts down, and disappears.
type ending struct {
	executor watchsource.Executor
	outcome  outcome
}

// works reports whether an executor counts as working. The state Unknown counts: the node
// cannot be reached, but the executor may still be running.
func works(e *watchsource.Executor) bool {
	return !e.State.Ended() && e.State != watchsource.Deleted && !e.Terminating
}

// handle processes the changes in order and returns the executors that ended. The error says
// that too many executors have failed.
func (l *lifecycle) handle(ctx context.Context, batch watchsource.Batch) ([]ending, error) {
	var endings []ending
	if batch.Full {
		endings = l.rebuild(batch)
	}
	for _, change := range batch.Changes {
		after := *change.After
		before, known := l.known[after.Name]
		workedBefore := known && works(&before) || !known && l.firstChange(after)
		switch {
		case works(&after):
			l.progress(before, after)
		case workedBefore:
			endings = append(endings, endingOf(after))
		}
		if after.State.Ended() { // not only if Change.Ended, so that a failed deletion is repeated
			l.remove(ctx, after)
		}
		l.remember(after)
	}
	return endings, l.count(endings)
}

// rebuild removes the executors that left while the backlog was dropped. The changes that
// follow show all executors that are present. Before the first batch no executor is known.
func (l *lifecycle) rebuild(batch watchsource.Batch) []ending {
	if batch.Missed > 0 {
		l.report.printf("was away for so long that %d executors left unseen", batch.Missed)
	}
	var endings []ending
	for _, name := range slices.Sorted(maps.Keys(l.known)) {
		executor := l.known[name]
		if _, present := batch.Snapshot.Get(name); present {
			continue
		}
		if works(&executor) {
			endings = append(endings, missingEnding(executor))
		}
		l.forget(name)
	}
	return endings
}

// missing returns the executors that have gone without any change that showed them. If a late
// change shows one of them, this is not a second end.
func (l *lifecycle) missing(view watchsource.Snapshot) []ending {
	endings := l.allocator.lost(view)
	for _, end := range endings {
		l.known[end.executor.Name] = end.executor
	}
	return endings
}

// firstChange handles an executor that no change has shown before. It reports whether this
// scheduler has created the executor, which then counted as working until this change.
func (l *lifecycle) firstChange(e watchsource.Executor) bool {
	created := l.allocator.acknowledge(e.Name)
	if !created {
		l.allocator.skip(e.ID)
		l.report.adopted(e)
	}
	return created
}

func (l *lifecycle) remember(e watchsource.Executor) {
	if e.State == watchsource.Deleted {
		l.forget(e.Name)
		return
	}
	l.known[e.Name] = e
}

func (l *lifecycle) forget(podName string) {
	delete(l.known, podName)
	delete(l.waiting, podName)
}

// progress reports the executors that are up, and those that cannot start.
func (l *lifecycle) progress(before, after watchsource.Executor) {
	switch {
	case after.State == watchsource.Running && before.State != watchsource.Running:
		l.report.printf("executor %s runs on %s", after.ID, after.Node)
	case after.State == watchsource.Pending && cannotStart(after.Reason) && !l.waiting[after.Name]:
		// The kubelet keeps trying. The executor is not replaced, because
		// another one would need the same image. The kubelet alternates
		// between two reasons, and only the first is reported.
		l.waiting[after.Name] = true
		l.report.printf("executor %s cannot start yet: %s", after.ID, withMessage(after.Reason, after.Message))
	}
}

// cannotStart reports whether the reason is an error, not a normal step of the start.
func cannotStart(reason string) bool {
	switch reason {
	case "", "ContainerCreating", "PodInitializing":
		return false
	default:
		return true
	}
}

func endingOf(e watchsource.Executor) ending {
	switch {
	// A deleted pod ends with SIGTERM. This is not a failure of the executor.
	case e.Terminating, e.State == watchsource.Deleted:
		return ending{e, deleted}
	case e.State == watchsource.Succeeded:
		return ending{e, finished}
	default:
		return ending{e, failed}
	}
}

// missingEnding returns the end of an executor whose deletion no change has shown.
func missingEnding(e watchsource.Executor) ending {
	e.State, e.ExitCode = watchsource.Deleted, watchsource.UnknownExitCode
	return ending{e, deleted}
}

func (l *lifecycle) count(endings []ending) error {
	for _, end := range endings {
		if end.outcome != failed {
			continue
		}
		if l.failures++; l.failures > l.maxFailures {
			return fmt.Errorf("%w: %d executors have failed and -max-failures is %d; the last was executor %s: %s",
				errTooManyFailures, l.failures, l.maxFailures, end.executor.ID, cause(end.executor))
		}
	}
	return nil
}

// remove deletes the pod of an executor that has ended. The scheduler already has all
// information about the end. If the deletion fails or ctx has ended, the scheduler repeats
// it at the next change of the pod and when it stops.
func (l *lifecycle) remove(ctx context.Context, e watchsource.Executor) {
	if ctx.Err() != nil {
		return
	}
	if err := deletePod(ctx, l.pods, e); err != nil {
		l.report.printf("the pod of executor %s could not be deleted: %v", e.ID, err)
	}
}

// deletePod deletes exactly the pod that the view has shown, not another pod of the same
// name. It does nothing if the pod is already being deleted or gone.
func deletePod(ctx context.Context, pods typedcorev1.PodInterface, e watchsource.Executor) error {
	if e.Terminating {
		return nil
	}
	ctx, cancel := requestContext(ctx)
	defer cancel()
	err := pods.Delete(ctx, e.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(e.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

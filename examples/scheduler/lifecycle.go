// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
)

var errTooManyFailures = errors.New("giving up")

// lifecycle understands what happens to executors: who has come up, who cannot,
// who is lost and why. Its model is Spark's ExecutorPodsLifecycleManager.
type lifecycle struct {
	maxFailures int
	pods        typedcorev1.PodInterface
	allocator   *allocator
	account     *account

	failures int
	waiting  map[string]bool // executors whose wait has been reported, by pod name
}

// outcome says which way an executor was lost.
type outcome int

const (
	failed   outcome = iota // it did not do its work
	finished                // it ended by itself, without an error
	deleted                 // somebody else took it away
)

// ending is the moment from which on an executor works no more. Every executor
// has one at most, however many changes follow: its pod is asked to go, fails
// on the way, disappears.
type ending struct {
	executor watchsource.Executor
	outcome  outcome
}

// works reports whether an executor counts. The state Unknown does: its node
// cannot be reached, which is no reason to believe that the executor is dead.
func works(e *watchsource.Executor) bool {
	return !e.State.Ended() && e.State != watchsource.Deleted && !e.Terminating
}

// follow looks at the changes in their order. The error says that too many
// executors have failed.
func (l *lifecycle) follow(ctx context.Context, changes []watchsource.Change) ([]ending, error) {
	var endings []ending
	for _, change := range changes {
		after := change.After
		workedBefore := l.workedBefore(change)
		switch {
		case works(after):
			l.progress(change)
		case workedBefore:
			endings = append(endings, endingOf(*after))
		}
		if hasJustEnded(change) {
			l.remove(ctx, *after)
		}
	}
	return endings, l.count(endings)
}

// workedBefore reports whether an executor counted until this change. One that
// shows for the first time did, if this scheduler has created it: it may even
// be gone already.
func (l *lifecycle) workedBefore(change watchsource.Change) bool {
	if change.Before != nil {
		return works(change.Before)
	}
	created := l.allocator.acknowledge(change.After.Name)
	if !created {
		l.allocator.skip(change.After.ID)
		l.account.adopted(*change.After)
	}
	return created
}

// progress reports who is up, and who cannot come up.
func (l *lifecycle) progress(change watchsource.Change) {
	after := change.After
	switch {
	case after.State == watchsource.Running && (change.Before == nil || change.Before.State != watchsource.Running):
		l.account.say("executor %s runs on %s", after.ID, after.Node)
	case after.State == watchsource.Pending && cannotStart(after.Reason) && !l.waiting[after.Name]:
		// The kubelet goes on trying, and so nobody is replaced: the next one
		// would need the same image. It alternates between two reasons, of
		// which the first is enough.
		if l.waiting == nil {
			l.waiting = map[string]bool{}
		}
		l.waiting[after.Name] = true
		l.account.say("executor %s cannot start yet: %s", after.ID, withMessage(after.Reason, after.Message))
	}
}

// cannotStart tells trouble from the ordinary way up.
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
	// A pod that somebody deletes ends with SIGTERM on its way out. That is not
	// the fault of the application, and does not count against it.
	case e.Terminating, e.State == watchsource.Deleted:
		return ending{e, deleted}
	case e.State == watchsource.Succeeded:
		return ending{e, finished}
	default:
		return ending{e, failed}
	}
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

func hasJustEnded(change watchsource.Change) bool {
	return change.After.State.Ended() && (change.Before == nil || !change.Before.State.Ended())
}

// remove deletes the pod of an executor that has ended. All that there is to
// know about the end is known by now.
func (l *lifecycle) remove(ctx context.Context, e watchsource.Executor) {
	if err := deletePod(ctx, l.pods, e); err != nil {
		// It does no harm before the end, and then it is tried again.
		l.account.say("the pod of executor %s could not be deleted: %v", e.ID, err)
	}
}

// deletePod deletes the very pod that was seen, and no other of that name. One
// that is going already, or gone, is left alone.
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

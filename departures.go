// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource/internal/rv"
)

const (
	// rememberFor is how long a store remembers an executor that has left. It looks at the time
	// when another one leaves, and when a bookmark comes.
	rememberFor = 2 * time.Minute
	// A store remembers as many executors as it has had at a time, and at least minRemembered.
	minRemembered = 128
)

// departures know the executors that have left lately, and who waits for an end. The mutex of the
// records guards them.
type departures struct {
	// left has the executors that have left, the oldest first.
	left []departed
	// mostPresent is the largest number of executors that were present at a time.
	mostPresent int
	// waits has the calls that wait for the end of a pod, by its name.
	waits map[string][]*endWait
}

// departed is an executor that has left, in the state of its end, or Deleted if it had none.
type departed struct {
	owner    any
	executor *Executor
	at       time.Time
}

// note notes the step of an executor. present is the number of executors that are present.
func (d *departures) note(owner any, before, after step, present int) {
	d.mostPresent = max(d.mostPresent, present)
	ended := after.State.Ended() && after.ends > before.ends
	if !ended && !after.isGone() {
		return
	}
	last := departed{owner, after.Executor, time.Now()}
	if after.isGone() && before.State.Ended() {
		last.executor = before.Executor
	}
	for _, w := range d.waits[after.Name] {
		if w.isFor(&last) {
			w.tell(endResult{executor: *last.executor})
		}
	}
	if after.isGone() {
		d.left = append(d.left, last)
		d.forgetOld(last.at)
	}
}

// forgetOld forgets what need not be remembered any more.
func (d *departures) forgetOld(now time.Time) {
	for len(d.left) > max(d.mostPresent, minRemembered) || len(d.left) > 0 && now.Sub(d.left[0].at) > rememberFor {
		d.left[0] = departed{} // the garbage collector can free the executor
		d.left = d.left[1:]
	}
	if len(d.left) == 0 {
		d.left = nil
	}
}

// add adds a call that waits. It tells it the end at once if the executor has left.
func (d *departures) add(w *endWait) {
	if d.waits == nil {
		d.waits = map[string][]*endWait{}
	}
	d.waits[w.name] = append(d.waits[w.name], w)
	for i := range d.left {
		if w.isFor(&d.left[i]) {
			w.tell(endResult{executor: *d.left[i].executor})
			return
		}
	}
}

func (d *departures) remove(w *endWait) {
	left := slices.DeleteFunc(d.waits[w.name], func(other *endWait) bool { return other == w })
	if len(left) > 0 {
		d.waits[w.name] = left
	} else {
		delete(d.waits, w.name)
	}
}

// stop ends the calls that wait.
func (d *departures) stop() {
	for _, waits := range d.waits {
		for _, w := range waits {
			w.tell(endResult{err: ErrStopped})
		}
	}
}

// clear forgets all executors that have left.
func (d *departures) clear() { d.left, d.mostPresent = nil, 0 }

// An endWait is a call that waits for the end of a pod.
type endWait struct {
	owner           any
	namespace, name string // the namespace is empty for any
	createdVersion  string // empty for any
	result          chan endResult
}

type endResult struct {
	executor Executor
	err      error
}

func newEndWait(owner any, pod, createdVersion string) *endWait {
	w := &endWait{owner: owner, name: pod, createdVersion: createdVersion, result: make(chan endResult, 1)}
	if namespace, name, ok := strings.Cut(pod, "/"); ok {
		w.namespace, w.name = namespace, name
	}
	return w
}

// isFor reports whether an executor is the one whose end is awaited.
func (w *endWait) isFor(d *departed) bool { return d.owner == w.owner && w.matches(d.executor) }

// matches reports whether an executor of the owner is the one whose end is awaited. An older state
// than that of the creation is one of an earlier pod with the name.
func (w *endWait) matches(e *Executor) bool {
	return e.Name == w.name && (w.namespace == "" || e.Namespace == w.namespace) && !rv.Older(e.ResourceVersion, w.createdVersion)
}

// find returns the executor in a snapshot.
func (w *endWait) find(s Snapshot) (Executor, bool) {
	e, ok := s.Get(w.name)
	if w.namespace != "" {
		e, ok = s.GetIn(w.namespace, w.name)
	}
	if !ok || !w.matches(&e) {
		return Executor{}, false
	}
	return e, true
}

// failed returns the error of the call.
func (w *endWait) failed(cause error) error {
	if errors.Is(cause, ErrStopped) {
		return fmt.Errorf("%w while a call waited for the end of pod %q", ErrStopped, w.name)
	}
	return fmt.Errorf("watchsource: wait for the end of pod %q: %w", w.name, cause)
}

// notFound returns the cause for a pod that was created and is not there any more.
func (w *endWait) notFound() error {
	return fmt.Errorf("%w: the store has everything up to its creation at version %s, so the pod has left, and the store has not seen it or has forgotten its end; or the source does not select it",
		apierrors.NewNotFound(corev1.Resource("pods"), w.name), w.createdVersion)
}

// tell passes on the first result.
func (w *endWait) tell(result endResult) {
	select {
	case w.result <- result:
	default:
	}
}

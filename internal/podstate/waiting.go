// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// A Waiting is a state of a pod that waits for a slow store. A newer state takes its place,
// unless the store would then miss an end. If any container may be the store's executor container,
// this is so for each of them.
type Waiting struct{ executors []waitingExecutor }

// A waitingExecutor is a state that waits, read for one executor container.
type waitingExecutor struct {
	// container is empty if the rules find the container, or if no container has a status.
	container string
	// before is the state before this one. It is not seen if only the store knows it.
	before Known
	// known is the state itself.
	known Known
	sight
	// newEnd is true if the state shows an end that the state before does not show.
	newEnd bool
	// needed is true if the store would understand the next state in another way without this one.
	needed bool
	// anchored is true if one of the states that wait, up to this one, has the ID of a run that
	// has started. anchoredBefore is the same without this state.
	anchored, anchoredBefore bool
}

// Wait reads a state that waits after another one, which is nil if none waits. It notes in the other
// one whether the store needs it.
func (r *Rules) Wait(last *Waiting, pod *corev1.Pod) *Waiting {
	if r.Executor != nil {
		main, problem := r.Executor.Find(pod)
		return &Waiting{[]waitingExecutor{r.wait(last.of(""), "", facts{main: main, problem: problem}, pod)}}
	}
	w := &Waiting{}
	for status := range containers(pod) {
		w.executors = append(w.executors, r.wait(last.of(status.Name), status.Name, facts{main: status}, pod))
	}
	if w.executors == nil {
		w.executors = []waitingExecutor{r.wait(last.of(""), "", facts{}, pod)}
	}
	return w
}

// of returns what waits for an executor container. A container that had no status yet was read as
// none.
func (w *Waiting) of(container string) *waitingExecutor {
	if w == nil {
		return nil
	}
	for i := range w.executors {
		if e := &w.executors[i]; e.container == container || e.container == "" {
			return e
		}
	}
	return nil
}

// wait reads a state for one executor container, which f has.
func (r *Rules) wait(last *waitingExecutor, container string, f facts, pod *corev1.Pod) waitingExecutor {
	w := waitingExecutor{container: container}
	if last != nil {
		w.before, w.anchoredBefore = last.known, last.anchored
	}
	now := r.readAs(f, pod, &w.before)
	w.sight, w.anchored = now.sight, w.anchoredBefore || now.named && !now.hidden
	if now.Replaced || !w.before.Seen {
		w.newEnd = now.Ends.Known()
	} else {
		w.newEnd = now.Ends.Shown > w.before.Ends.Shown
	}
	if last != nil {
		without := r.readAs(f, pod, &last.before)
		last.needed = last.needed || without.Ends != now.Ends || without.Reading != now.Reading
	}
	w.known = Known{
		Seen: true, ResourceVersion: pod.ResourceVersion, CreatedAt: pod.CreationTimestamp.Time,
		Reading: now.Reading, Ends: now.Ends,
	}
	return w
}

// MayReplace reports whether the state may take the place of the one before it: the store then misses
// no end, and reads the state in the same way.
func (w *Waiting) MayReplace(last *Waiting) bool {
	for i := range last.executors {
		if !w.has(last.executors[i].container) {
			return false
		}
	}
	for i := range w.executors {
		now := &w.executors[i]
		if before := last.of(now.container); before != nil && !now.mayReplace(before) {
			return false
		}
	}
	return true
}

// has reports whether a container is in the state. The empty name stands for no container.
func (w *Waiting) has(container string) bool {
	return container == "" || slices.ContainsFunc(w.executors, func(e waitingExecutor) bool { return e.container == container })
}

func (w *waitingExecutor) mayReplace(last *waitingExecutor) bool {
	runsAgain := last.known.Reading.State.Ended() && !w.known.Reading.State.Ended()
	switch {
	case last.needed, last.newEnd && (w.newEnd || runsAgain), last.begins && !w.named:
		return false
	case last.hidden && !last.anchored:
		return false // only the store knows which run the state is about
	case last.nameless && !w.nameless && !last.anchoredBefore:
		return false // only the store knows whether that end is news
	default:
		return true
	}
}

// Replace lets the state take the place of the one before it. It then shows the end and the run that
// the other one showed.
func (w *Waiting) Replace(last *Waiting) {
	for i := range w.executors {
		if e, before := &w.executors[i], last.of(w.executors[i].container); before != nil {
			e.before, e.anchoredBefore = before.before, before.anchoredBefore
			e.newEnd, e.begins = e.newEnd || before.newEnd, e.begins || before.begins
		}
	}
}

// HasToPass reports whether the store must receive the state, because an end depends on it. Only the
// store knows what a state shows if no state that waits names a run.
func (w *Waiting) HasToPass() bool {
	return slices.ContainsFunc(w.executors, func(e waitingExecutor) bool {
		return e.newEnd || e.needed || e.hidden && !e.anchored || e.nameless && !e.anchoredBefore
	})
}

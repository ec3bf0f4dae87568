// SPDX-License-Identifier: Apache-2.0

package podstate

import corev1 "k8s.io/api/core/v1"

// A Waiting is a state of a pod that waits for a slow store. A newer state takes its place,
// unless the store would then miss an end.
type Waiting struct {
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
	w := &Waiting{}
	if last != nil {
		w.before, w.anchoredBefore = last.known, last.anchored
	}
	now := r.Read(pod, &w.before)
	w.sight, w.anchored = now.sight, w.anchoredBefore || now.named && !now.hidden
	if now.Replaced || !w.before.Seen {
		w.newEnd = now.Ends.Known()
	} else {
		w.newEnd = now.Ends.Shown > w.before.Ends.Shown
	}
	if last != nil {
		without := r.Read(pod, &last.before)
		last.needed = without.Ends != now.Ends || without.Reading != now.Reading
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
	w.before, w.anchoredBefore = last.before, last.anchoredBefore
	w.newEnd, w.begins = w.newEnd || last.newEnd, w.begins || last.begins
}

// HasToPass reports whether the store must receive the state, because an end depends on it. Only the
// store knows what a state shows if no state that waits names a run.
func (w *Waiting) HasToPass() bool {
	return w.newEnd || w.needed || w.hidden && !w.anchored || w.nameless && !w.anchoredBefore
}

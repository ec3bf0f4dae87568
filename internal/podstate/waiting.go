// SPDX-License-Identifier: Apache-2.0

package podstate

import corev1 "k8s.io/api/core/v1"

// A Waiting is a state of a pod that waits for a slow store. A newer state takes its place,
// unless the store would then miss an end.
type Waiting struct {
	before Known // the state before this one; not seen if only the store knows it
	known  Known // after this state
	sight
	newEnd bool // it shows an end that the state before does not show
	needed bool // without it the store would understand the next state in another way
	// anchored is true if one of the states that wait, up to this one, has the ID of a run that
	// has started.
	anchored bool
}

// Wait reads a state that waits after another one, which is nil if none waits.
func (r *Rules) Wait(last *Waiting, pod *corev1.Pod) *Waiting {
	w := &Waiting{}
	if last != nil {
		w.before, w.anchored = last.known, last.anchored
	}
	now := r.Read(pod, &w.before)
	w.sight, w.anchored = now.sight, w.anchored || now.named && !now.hidden
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

// Absorb reports whether the state takes the place of the one before it. It then shows the
// end and the run that the other one showed.
func (w *Waiting) Absorb(last *Waiting) bool {
	runsAgain := last.known.Reading.State.Ended() && !w.known.Reading.State.Ended()
	switch {
	case last.needed, last.newEnd && (w.newEnd || runsAgain), last.begins && !w.named:
		return false
	case last.hidden && !last.anchored:
		return false // only the store knows which run the state is about
	case last.nameless && !w.nameless && !last.before.Seen:
		return false // only the store knows whether that end is news
	}
	w.before = last.before
	w.newEnd, w.begins = w.newEnd || last.newEnd, w.begins || last.begins
	return true
}

// HasToPass reports whether the store must receive the state, because an end depends on it.
func (w *Waiting) HasToPass() bool { return w.newEnd || w.needed }

// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/rv"
)

// Ends records which runs of one executor have ended. The zero value has no run.
//
// Invariant:
//   - current is the newest run that a status was about. It is over once its end is known;
//     then last is that end.
//   - Shown counts each run at most once. An end that is history in the first status of a
//     pod does not count; if it is of the current run, it is untold until the pod ends.
//   - A status shows at most two ends: the end of the current run, and the end in the last
//     state. So last and lastState are enough to recognise both. If the server was restored to
//     an earlier state, they keep their values, because the kubelet writes the newest status
//     again.
//   - Two container IDs alone decide whether two runs are the same. Restart counts and times
//     are evidence only where an ID is missing: a node that has lost its records counts
//     from 0 again, and the clocks of nodes jump.
type Ends struct {
	// Shown is the number of ends that readers are shown, up to now.
	Shown  int32
	over   bool
	untold bool
	last   runEnd
	// lastState is the ID of the run whose end the last state has shown.
	lastState uint64
	current   run
}

// A runEnd is the end of a run, or of the pod during that run.
type runEnd struct {
	run
	// own is true for an end of the container, and false for one of the pod only.
	own      bool
	exitCode int32
	// finishedAt is in Unix seconds, which is the API's precision. It is 0 if it is not known.
	finishedAt int64
}

// EndsOfRun returns the Ends of an executor without a known end.
func EndsOfRun(id uint64, restarts int32) Ends {
	return Ends{current: run{id: id, restarts: restarts}}
}

// RunID returns what EndsOfRun needs to know of the current run.
func (ends *Ends) RunID() uint64 { return ends.current.id }

// Known reports whether an end is known, shown or not.
func (ends *Ends) Known() bool { return ends.Shown > 0 || ends.last != (runEnd{}) }

// presentEnd returns the end that the state of the executor is: its own, or that of its
// pod. A run that was created and not started ends with its pod, and the last state is about
// the run before it.
func (f *facts) presentEnd(of run) runEnd {
	end := runEnd{run: of}
	if f.own != nil && (of.id == 0 || f.own.ContainerID == "" || idOf(f.own.ContainerID) == of.id) {
		end.own, end.exitCode, end.finishedAt = true, f.own.ExitCode, finishedAt(f.own)
	}
	return end
}

// earlierEnd returns the end that the last state shows. ofNow is true if it is the end of the
// run that the status is about, because the container waits.
func (f *facts) earlierEnd() (end runEnd, ofNow bool) {
	if f.past == nil {
		return runEnd{}, false
	}
	end = runEnd{own: true, exitCode: f.past.ExitCode, finishedAt: finishedAt(f.past)}
	end.id, end.restarts = idOf(f.past.ContainerID), f.main.RestartCount
	switch now := f.run; {
	case f.main.State.Waiting != nil && now.id != 0 && end.id == 0:
		end.id = now.id // a container that waits keeps its ID
	case f.main.State.Waiting == nil || isLost(f.past):
		end.restarts-- // the run that the status is about, or will be, counts too
	}
	return end, f.lost || f.run.hasEnded(end)
}

func finishedAt(terminated *corev1.ContainerStateTerminated) int64 {
	if at := timeOf(terminated.FinishedAt); !at.IsZero() {
		return at.Unix()
	}
	return 0
}

// same reports whether two ends are of the same run, if one of them has no ID.
func (a runEnd) same(b runEnd) bool {
	switch {
	case a.own && b.own && a.restarts != b.restarts:
		return false
	case a.finishedAt != 0 && b.finishedAt != 0:
		return a.finishedAt == b.finishedAt // another exit code contradicts the end
	default:
		return true
	}
}

// older reports whether a is the end of a run before that of b, if one of them has no ID.
func (a runEnd) older(b runEnd) bool {
	return a.restarts < b.restarts || a.finishedAt != 0 && b.finishedAt != 0 && a.finishedAt < b.finishedAt
}

// disown removes the executor's own end from the facts if an earlier run has ended in it. The
// kubelet has created the newest run and not started it, or has lost it, and shows the last
// state of the run before.
func (ends *Ends) disown(f *facts) {
	if f.own == nil || f.own != f.main.LastTerminationState.Terminated {
		return
	}
	switch id := idOf(f.own.ContainerID); {
	case id == 0 || ends.current.id == 0:
	case f.main.ContainerID != "" && f.main.ContainerID != f.own.ContainerID:
		f.own = nil
		f.past = f.pastTerminated()
	case f.main.ContainerID == "" && id != ends.current.id && ends.recognises(id):
		f.own = nil
	}
}

// isCurrent reports whether a status is about the current run, and not about a newer one.
func (ends *Ends) isCurrent(f *facts) bool {
	now := f.run
	switch {
	case f.main == nil, f.lost:
		return true // nothing says that there is a newer one
	case now.id != 0 && ends.current.id != 0:
		return now.id == ends.current.id
	case f.past != nil && f.main.State.Terminated != nil && isLost(f.main.State.Terminated):
		past, _ := f.earlierEnd()
		return !ends.current.hasEnded(past)
	case ends.current.id != 0:
		return true // the kubelet has no container to write about
	case now.restarts != ends.current.restarts:
		return false
	case !ends.over || !ends.last.own:
		return true
	case f.main.State.Running != nil:
		return false // a container that runs after its own end was started again
	case f.own == nil:
		return now.id == 0 // a container with an ID was created after an end without one
	default:
		return ends.last.same(f.presentEnd(now))
	}
}

// hasEnded reports whether the run has ended in the given end: by the IDs, or by the restart
// count if an ID is missing.
func (r run) hasEnded(end runEnd) bool {
	if r.id != 0 && end.id != 0 {
		return r.id == end.id
	}
	return r.restarts == end.restarts
}

// Known holds the last reading of an executor and its ends. The zero value is an executor
// that has not been seen.
type Known struct {
	Seen            bool
	ResourceVersion string
	CreatedAt       time.Time
	Reading         Reading
	Ends            Ends
}

// An observation has the facts of a pod beside the known state of its executor.
type observation struct {
	*facts
	known *Known
	// isCurrent is true if the status is about the current run, and not about a newer one.
	isCurrent bool
}

// isOlder reports whether the pod is in an earlier state than the known one, as after a restore
// of the server.
func (o *observation) isOlder() bool { return rv.Older(o.pod.ResourceVersion, o.known.ResourceVersion) }

// continues reports whether the pod is about the current run, and not in an earlier state of
// it, as after a restore of the server.
func (o *observation) continues() bool {
	return o.isCurrent && o.known.Seen && !o.isOlder()
}

// observe notes the ends that a status shows. news is true if past, the end in the last
// state, is to be shown. ended is true if the executor has ended now.
func (ends *Ends) observe(o *observation, ended bool) (past runEnd, news bool) {
	past, ofNow := o.earlierEnd()
	switch {
	case !o.known.Seen:
		*ends = Ends{current: o.run, last: past, over: ofNow, untold: ofNow}
		if o.lost && !o.deleting {
			ends.current.restarts-- // the kubelet has counted the loss as a restart
		}
	case ofNow:
		ends.advance(o) // so that past is the end of the current run
		news = ends.observeEarlier(&past, o)
	case o.past != nil:
		news = ends.observeEarlier(&past, o)
		ends.advance(o)
	default:
		ends.advance(o)
	}
	if ended {
		ends.observePresent(o.presentEnd(ends.current))
	}
	if o.main != nil && o.main.LastTerminationState.Terminated != nil && !o.isOlder() {
		// The end in the last state may also be the present one, see presentEnd.
		if id := idOf(o.main.LastTerminationState.Terminated.ContainerID); o.past != nil || id != ends.current.id {
			ends.lastState = id
		}
	}
	return past, news
}

// advance makes the run that a status is about the current one.
func (ends *Ends) advance(o *observation) {
	switch now := o.run; {
	case !o.isCurrent:
		isKnown := now.id != 0 && now.id == ends.last.id // the server was restored in between
		ends.current, ends.over, ends.untold = now, isKnown, false
	case now.id != 0, ends.current.id == 0 && o.main != nil && !o.lost:
		ends.current = now
	}
}

// observeEarlier notes the end in the last state, and reports whether it is to be shown.
func (ends *Ends) observeEarlier(past *runEnd, o *observation) bool {
	ofCurrent := ends.isOfCurrent(past, o)
	switch {
	case ends.recognises(past.id), ofCurrent && ends.over:
		return false
	case ofCurrent:
		past.id = ends.current.id
		if isLost(o.past) {
			past.restarts = ends.current.restarts
		}
		ends.over = true
	case !ends.isNews(past, o):
		return false
	}
	ends.add(*past)
	return true
}

// recognises reports whether the end of a run is known by its ID.
func (ends *Ends) recognises(id uint64) bool {
	return id != 0 && (id == ends.last.id || id == ends.lastState)
}

// isOfCurrent reports whether the current run has ended in the end of the last state.
func (ends *Ends) isOfCurrent(past *runEnd, o *observation) bool {
	switch {
	case o.lost, isLost(o.past) && !o.isCurrent:
		return true
	case past.id != 0 && ends.current.id != 0:
		return past.id == ends.current.id
	case past.id == 0 && !o.isCurrent && !ends.over:
		return past.restarts <= ends.current.restarts // else there was a run between the two
	default:
		return past.restarts == ends.current.restarts
	}
}

// isNews reports whether an end in the last state is not recorded yet. The end is of another
// run than the current one.
func (ends *Ends) isNews(past *runEnd, o *observation) bool {
	switch {
	case o.isOlder() && o.main.RestartCount <= ends.current.restarts:
		return false // a run before the last two, which were shown
	case past.id != 0 && ends.last.id != 0, !ends.Known():
		return true
	case o.isCurrent && o.main.ContainerID != "" && isLost(o.past):
		return false // it was observed when the current run began
	default:
		return !ends.last.same(*past) && !past.older(ends.last)
	}
}

// observePresent notes the end that the state of the executor is.
func (ends *Ends) observePresent(end runEnd) {
	switch {
	case !ends.over && ends.recognises(end.id):
		// The server was restored to a run before the last one.
	case !ends.over:
		ends.add(end)
		ends.over = true
	case ends.untold:
		ends.Shown++
		ends.last, ends.untold = end, false
	case ends.last.id == 0:
		ends.last.id = end.id // the same end, of which the run is known now
	}
}

func (ends *Ends) add(end runEnd) {
	ends.last = end
	ends.Shown++
}

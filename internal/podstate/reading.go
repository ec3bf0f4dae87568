// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// A Result is a new reading of an executor, and its ends after it.
type Result struct {
	Reading Reading
	Ends    Ends
	// Ready is the condition Ready, which does not influence the reading.
	Ready bool
	// Missed is the executor at the end of an earlier run, if that end was not known. It
	// precedes Reading. It is nil for most pods.
	Missed *Reading
	// Replaced is true if the pod is another pod than the known one, although it has the
	// same name. Only a pod without a UID can be, see [Known.isReplacedBy]. Nothing of
	// the known pod is in the result then.
	Replaced bool

	sight
}

// Read reads a pod. Every field of the pod may be missing.
func (r *Rules) Read(pod *corev1.Pod, known *Known) Result {
	main, problem := r.Executor.Find(pod)
	return r.readAs(facts{main: main, problem: problem}, pod, known)
}

// readAs reads a pod whose executor container is known.
func (r *Rules) readAs(f facts, pod *corev1.Pod, known *Known) (result Result) {
	f.read(pod, r)
	if known.isReplacedBy(&f) {
		known, result.Replaced = &Known{}, true
	}
	known.Ends.disown(&f)
	f.findRun()
	f.decide(&result.Reading)
	o := observation{facts: &f, known: known, isCurrent: known.Ends.isCurrent(&f)}
	result.Ready, result.Ends = f.ready, known.Ends
	past, news := result.Ends.observe(&o, result.Reading.State.Ended())
	if news {
		result.Missed = result.Reading.endedBefore(&f, past.restarts)
	}
	o.complete(&result.Reading)
	o.keepEnd(&result.Reading)
	result.sight = o.sight()
	return result
}

// isReplacedBy reports whether the pod is another pod than the known one. The caller knows
// pods by their UIDs. A pod without one, as client-go's fake clientset makes it, may be a new
// pod of the same name: it was created at another time, or it has neither ended nor been
// restarted although the known one has ended.
func (k *Known) isReplacedBy(f *facts) bool {
	created := f.pod.CreationTimestamp.Time
	switch {
	case !k.Seen || f.pod.UID != "":
		return false
	case !created.IsZero() && !k.CreatedAt.IsZero() && !created.Equal(k.CreatedAt):
		return true
	case !k.Reading.State.Ended() || f.state().Ended():
		return false
	default:
		return f.main == nil || f.main.LastTerminationState.Terminated == nil && f.main.RestartCount <= k.Reading.Restarts
	}
}

// endedBefore returns the reading at the end of an earlier run.
func (r Reading) endedBefore(f *facts, restarts int32) *Reading {
	r.State = stateOf(f.past.ExitCode)
	r.readContainer(f.main, f.past)
	r.Restarts = restarts
	r.Reason, r.Message = f.past.Reason, f.past.Message
	return &r
}

// complete adds the start and the restart count of the current run if the pod has lost them.
func (o *observation) complete(now *Reading) {
	hasLostStart := o.main == nil || o.own != nil && isLost(o.own)
	if !hasLostStart || !o.continues() {
		return
	}
	now.StartedAt = o.known.Reading.StartedAt
	if o.main == nil {
		now.Restarts = o.known.Reading.Restarts
	}
}

// keepEnd puts the end that was shown in the place of a reading that contradicts it, and notes
// the contradiction. The end of a run is final. A pod without the container's status
// cannot change it: the kubelet drops the statuses of a pod that it rejects after a restart,
// even if the pod had succeeded (kubernetes#117955).
func (o *observation) keepEnd(now *Reading) {
	shown := o.shownEnd(now)
	if shown == nil || !now.contradicts(shown) {
		return
	}
	end := *shown
	end.Problem, end.Disruption = now.Problem, now.Disruption
	if now.State != end.State || o.own != nil && !isLost(o.own) { // or the pod has only lost the end
		end.addProblem(o.contradiction(shown, now))
	}
	*now = end
}

// shownEnd returns the executor at the end that readers were shown of its current run. It
// returns nil if they were shown no end, or if the pod has gone on from it.
func (o *observation) shownEnd(now *Reading) *Reading {
	ends := &o.known.Ends
	switch {
	case !ends.over || ends.untold || !o.continues():
		return nil
	case o.known.Reading.State.Ended():
		isAboutToRun := o.main != nil && o.main.State.Running == nil && o.own == nil && !o.final
		if isAboutToRun {
			return nil
		}
		return &o.known.Reading
	case ends.last.own && now.State.Ended():
		return o.endBeforeRestart(now, ends.last.exitCode)
	default:
		return nil
	}
}

// endBeforeRestart returns the executor at an end after which the container was to be started
// again. Then the pod ended.
func (o *observation) endBeforeRestart(now *Reading, exitCode int32) *Reading {
	end := *now
	end.State, end.ExitCode = stateOf(exitCode), exitCode
	end.Reason, end.Message = "", ""
	if o.own != nil && o.own.ExitCode == exitCode {
		end.Reason, end.Message = o.own.Reason, o.own.Message
	}
	return &end
}

// contradicts reports whether the reading differs from an end. An exit code adds to an end
// without one, unless it is 0 and the end is a failure.
func (r *Reading) contradicts(end *Reading) bool {
	switch {
	case r.State != end.State:
		return true
	case end.ExitCode == UnknownExitCode:
		return r.State == Failed && r.ExitCode == 0
	default:
		return r.ExitCode != end.ExitCode
	}
}

func (o *observation) contradiction(end, now *Reading) string {
	says := now.State.String()
	if o.own != nil {
		says += fmt.Sprintf(", exit code %d", o.own.ExitCode)
	}
	if now.Reason != "" {
		says += ", " + now.Reason
	}
	return fmt.Sprintf("the executor has ended (%v, exit code %d), and the pod is reported as %s", end.State, end.ExitCode, says)
}

// A sight is what a state shows of its run. It decides which states may be merged, see [Waiting].
type sight struct {
	// begins is true for the first state of the run.
	begins bool
	// named is true if the state has the ID of the run.
	named bool
	// hidden is true if the kubelet has lost the container, or has created it and not started
	// it. Such a state is also about the run before.
	hidden bool
	// nameless is true if the last state is the end of a run without an ID.
	nameless bool
}

func (o *observation) sight() sight {
	if o.main == nil {
		return sight{begins: !o.isCurrent}
	}
	named, last := o.main.ContainerID != "", o.main.LastTerminationState.Terminated
	isOfAnother := last != nil && last.ContainerID != "" && last.ContainerID != o.main.ContainerID
	return sight{
		begins:   !o.isCurrent || !o.known.Seen,
		named:    named,
		hidden:   o.lost || isOfAnother && (!named || o.main.State.Waiting != nil),
		nameless: o.past != nil && o.past.ContainerID == "",
	}
}

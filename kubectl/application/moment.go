// SPDX-License-Identifier: Apache-2.0

package application

import (
	"time"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
)

const (
	// maxSkew is how far the clocks of a node, of the API server and of this machine may differ for
	// their times to be compared.
	maxSkew = time.Minute
	// unknownLife is the life of an executor whose start or end is unknown.
	unknownLife time.Duration = -1
)

// A Moment is when a reader was shown changes.
type Moment struct {
	At time.Time
	// Late is true if the changes may have happened any time before At: they are the first that the
	// reader was shown, or the watch was interrupted shortly before.
	Late bool
}

// isLate reports whether a change may have happened any time before the moment.
func (m Moment) isLate(change watchsource.Change) bool {
	switch {
	case m.Late, change.Gone == watchsource.Missed:
		return true
	case change.Before == nil: // a new pod, or an old pod that had other labels before
		return m.At.Sub(change.After.CreatedAt) > maxSkew
	default:
		return false
	}
}

// setTime sets when the executor has ended and how long it has lived. It uses the finish time in the pod,
// unless the clock of the node is wrong. Without a finish time it uses the moment, which is only an
// upper bound if the change is late.
func (e *End) setTime(m Moment, late bool) {
	x := e.Executor
	finished := x.FinishedAt
	if !x.State.Ended() { // of an earlier run, if there is one
		finished = time.Time{}
	}
	e.At, e.Before = m.At, late
	switch disrupted := disruptedAt(x); {
	case isBetween(finished, x.CreatedAt, m.At):
		e.At, e.Before = finished, false
	case finished.IsZero() && isBetween(disrupted, x.CreatedAt, m.At):
		e.At, e.Before = disrupted, x.Disruption != terminationByKubelet
	}
	e.life = lifeOf(x, finished, e)
}

// isBetween reports whether a time is set and lies between two others.
func isBetween(t, from, to time.Time) bool {
	return !t.IsZero() && !t.Before(from.Add(-maxSkew)) && !t.After(to.Add(maxSkew))
}

// lifeOf returns the time between the start and the end of the executor container. The same node writes
// both times, so that their difference is right even if its clock is wrong. If the clock jumped between
// them, the life is negative, or longer than the pod has existed, and lifeOf returns unknownLife.
func lifeOf(x *watchsource.Executor, finished time.Time, end *End) time.Duration {
	if finished.IsZero() {
		if end.Before {
			return unknownLife
		}
		finished = end.At
	}
	life := finished.Sub(x.StartedAt)
	if x.StartedAt.IsZero() || life < 0 || life > end.At.Sub(x.CreatedAt)+maxSkew {
		return unknownLife
	}
	return life
}

// The reasons of the condition DisruptionTarget that come with the phase Failed.
const (
	terminationByKubelet = corev1.PodReasonTerminationByKubelet
	deletionByPodGC      = "DeletionByPodGC"
)

// disruptedAt returns when Kubernetes has made the pod fail, or the zero time. The kubelet fails the pods
// that it evicts and those of a node that shuts down. The garbage collector fails the pods of a node that is
// gone, at some time after their end.
func disruptedAt(x *watchsource.Executor) time.Time {
	if x.State != watchsource.Failed || x.Disruption != terminationByKubelet && x.Disruption != deletionByPodGC {
		return time.Time{}
	}
	pod, err := x.Pod()
	if err != nil {
		return time.Time{} // the store keeps no pods
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.DisruptionTarget && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

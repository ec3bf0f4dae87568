// SPDX-License-Identifier: Apache-2.0

package podstate

import "fmt"

// A comparison has the facts of a pod beside the last reading of its executor.
type comparison struct {
	*facts
	known     *Known
	isCurrent bool // the pod is about the current run, see [Ends]
}

// continues reports whether the pod is about the current run, and not in an earlier state of
// it, as after a restore of the server.
func (c *comparison) continues() bool {
	return c.isCurrent && c.known.Seen && !c.isOlder()
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
func (c *comparison) complete(now *Reading) {
	hasLostStart := c.main == nil || c.own != nil && isLost(c.own)
	if !hasLostStart || !c.continues() {
		return
	}
	now.StartedAt = c.known.Reading.StartedAt
	if c.main == nil {
		now.Restarts = c.known.Reading.Restarts
	}
}

// keepEnd puts the end that was shown in the place of a reading that contradicts it, and notes
// the contradiction. The end of a run is final. A pod without the container's status
// cannot change it: the kubelet drops the statuses of a pod that it rejects after a restart,
// even if the pod had succeeded (kubernetes#117955).
func (c *comparison) keepEnd(now *Reading) {
	shown := c.shownEnd(now)
	if shown == nil || !now.contradicts(shown) {
		return
	}
	end := *shown
	end.Problem, end.Disruption = now.Problem, now.Disruption
	if now.State != end.State || c.own != nil && !isLost(c.own) { // or the pod has only lost the end
		end.addProblem(c.contradiction(shown, now))
	}
	*now = end
}

// shownEnd returns the executor at the end that readers were shown of its current run. It
// returns nil if they were shown no end, or if the pod has gone on from it.
func (c *comparison) shownEnd(now *Reading) *Reading {
	ends := &c.known.Ends
	switch {
	case !ends.over || ends.untold || !c.continues():
		return nil
	case c.known.Reading.State.Ended():
		isAboutToRun := c.main != nil && c.main.State.Running == nil && c.own == nil && !c.final
		if isAboutToRun {
			return nil
		}
		return &c.known.Reading
	case ends.last.own && now.State.Ended():
		return c.endBeforeRestart(now, ends.last.exitCode)
	default:
		return nil
	}
}

// endBeforeRestart returns the executor at an end after which the container was to be started
// again. Then the pod ended.
func (c *comparison) endBeforeRestart(now *Reading, exitCode int32) *Reading {
	end := *now
	end.State, end.ExitCode = stateOf(exitCode), exitCode
	end.Reason, end.Message = "", ""
	if c.own != nil && c.own.ExitCode == exitCode {
		end.Reason, end.Message = c.own.Reason, c.own.Message
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

func (c *comparison) contradiction(end, now *Reading) string {
	says := now.State.String()
	if c.own != nil {
		says += fmt.Sprintf(", exit code %d", c.own.ExitCode)
	}
	if now.Reason != "" {
		says += ", " + now.Reason
	}
	return fmt.Sprintf("the executor has ended (%v, exit code %d), and the pod is reported as %s", end.State, end.ExitCode, says)
}

// SPDX-License-Identifier: Apache-2.0

package workerjob

import (
	"maps"
	"strconv"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
)

func (s Status) deepCopy() Status {
	s.ExitCodes, s.Reasons = maps.Clone(s.ExitCodes), maps.Clone(s.Reasons)
	return s
}

// update brings the status up to date. An end that Ended has already changes nothing, so it does not
// matter how often a look shows it.
func (s *Status) update(look controller.Look, ended *indexes) {
	for executor := range look.Snapshot.All() {
		if hasEnded(executor) {
			s.count(executor, ended)
		}
	}
	for _, change := range look.Ends {
		if change.Ended { // otherwise the pod has left without an end, and its worker runs again
			s.count(*change.After, ended)
		}
	}
	s.Ended = ended.String()
	s.Pending, s.Running = active(look.Snapshot, ended)
	s.Complete = ended.full()
}

// hasEnded reports whether a worker has ended. A pod that is deleted before it has a node never
// gets another state, because no kubelet has it.
func hasEnded(executor watchsource.Executor) bool {
	return executor.State.Ended() || executor.Terminating && executor.Node == ""
}

func (s *Status) count(executor watchsource.Executor, ended *indexes) {
	index, ok := indexOf(executor)
	if !ok || !ended.add(index) {
		return
	}
	increment(&s.ExitCodes, exitCode(executor))
	if executor.State == watchsource.Succeeded {
		s.Succeeded++
		return
	}
	s.Failed++
	increment(&s.Reasons, reason(executor))
}

func increment(counts *map[string]int32, key string) {
	if *counts == nil {
		*counts = map[string]int32{}
	}
	(*counts)[key]++
}

func exitCode(executor watchsource.Executor) string {
	if executor.ExitCode == watchsource.UnknownExitCode {
		return "none"
	}
	return strconv.Itoa(int(executor.ExitCode))
}

func reason(executor watchsource.Executor) string {
	switch {
	case !executor.State.Ended():
		return "Deleted"
	case executor.Reason == "":
		return "Error"
	default:
		return executor.Reason
	}
}

// active counts the workers that have not ended.
func active(snapshot watchsource.Snapshot, ended *indexes) (pending, running int32) {
	for executor := range snapshot.All() {
		index, ok := indexOf(executor)
		switch {
		case !ok || ended.has(index):
		case executor.State == watchsource.Running:
			running++
		default:
			pending++
		}
	}
	return pending, running
}

// indexOf returns the index of a worker. The label with the index is the executor id.
func indexOf(executor watchsource.Executor) (int, bool) {
	index, err := strconv.Atoi(executor.ID)
	return index, err == nil
}

// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"slices"
	"sync"

	"github.com/executorpods/watchsource"
)

// endLabels are the labels of the ends.
type endLabels struct{ app, state, reason string }

const (
	noReason    = "none"
	otherReason = "other"
)

// reasons are the reasons that Kubernetes gives for the end of an executor. Others become
// otherReason, because a runtime or an admission plugin may write any text.
var reasons = []string{
	// Of containers (kubelet, containerd and CRI-O).
	"Completed", "Error", "OOMKilled", "ContainerCannotRun", "StartError", "ContainerStatusUnknown", "DeadlineExceeded",
	// Of pods (kubelet and node lifecycle controller).
	"Evicted", "NodeLost", "NodeShutdown", "NodeAffinity", "Shutdown", "Terminated", "Preempting",
	"OutOfcpu", "OutOfmemory", "OutOfpods", "UnexpectedAdmissionError",
	// Of the condition DisruptionTarget (KEP-3329).
	"PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI", "DeletionByPodGC", "TerminationByKubelet",
}

// usualEnds are those that most applications have.
var usualEnds = []endLabels{
	{state: "Succeeded", reason: "Completed"},
	{state: "Failed", reason: "Error"},
	{state: "Failed", reason: "OOMKilled"},
	{state: "Failed", reason: "Evicted"},
	{state: "Deleted", reason: noReason},
}

func reasonLabel(reason string) string {
	switch {
	case reason == "":
		return noReason
	case slices.Contains(reasons, reason):
		return reason
	default:
		return otherReason
	}
}

// endCounts counts ends. The zero value is ready for use.
type endCounts struct {
	mu     sync.Mutex
	counts map[endLabels]float64
}

// add counts the ends in a batch of an application.
func (c *endCounts) add(app string, batch watchsource.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[endLabels]float64{}
	}
	for _, change := range batch.Changes {
		if state, ended := endOf(change); ended {
			c.counts[endLabels{app, state.String(), reasonLabel(change.After.Reason)}]++
		}
	}
	if batch.Missed > 0 {
		c.counts[endLabels{app, watchsource.Deleted.String(), otherReason}] += float64(batch.Missed)
	}
}

func (c *endCounts) read() map[endLabels]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[endLabels]float64{}
	maps.Copy(counts, c.counts)
	return counts
}

// endOf returns the state of the end that a change shows. An executor has another end if the
// kubelet starts its container again.
func endOf(change watchsource.Change) (state watchsource.State, ended bool) {
	gone := change.After.State == watchsource.Deleted
	switch {
	case change.Ended && gone && change.After.ExitCode == 0:
		return watchsource.Succeeded, true
	case change.Ended && gone:
		return watchsource.Failed, true
	case change.Ended:
		return change.After.State, true
	default:
		return watchsource.Deleted, gone && (change.Before == nil || !change.Before.State.Ended())
	}
}

// SPDX-License-Identifier: Apache-2.0

package metrics

import "slices"

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

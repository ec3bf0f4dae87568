// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// UnknownExitCode is the ExitCode of an executor whose container has not
// ended, or ended in a way that left no code. Spark's lifecycle manager uses
// the same value.
const UnknownExitCode = -1

// An Executor is what one pod says about the executor in it, at one resource
// version. It is a value: copies are independent, but all of them share Pod.
type Executor struct {
	Name      string
	Namespace string
	UID       types.UID

	// ID is the value of the executor id label; empty when the pod has none,
	// or only the placeholder that a StatefulSet's template carries.
	ID string

	// Node is the node the pod is bound to; empty while it is not.
	Node string
	// PodIP is the pod's address, empty until it has one.
	PodIP string

	State State
	// Terminating says that the pod has been asked to go: it has a deletion
	// timestamp. An executor that drains is Running and Terminating.
	Terminating bool

	// ExitCode is that of the executor container, UnknownExitCode unless it
	// has ended.
	ExitCode int32
	// Restarts is how often the kubelet has started the executor container again
	// (restartCount).
	Restarts int32
	// Reason is the shortest word the cluster gives for the state: OOMKilled of
	// the executor container, then Disruption, then the executor container's own
	// reason, the pod's, and that of another container. Evicted, Error, Completed,
	// CrashLoopBackOff and Unschedulable are examples. Message is the sentence
	// beside it. Both are empty for an executor that simply runs.
	Reason  string
	Message string
	// Disruption is the reason of the pod's condition DisruptionTarget, such as
	// PreemptionByScheduler, whatever Reason says; empty if there is none.
	Disruption string

	CreatedAt  time.Time // creation of the pod
	StartedAt  time.Time // start of the executor container, zero if it has not
	FinishedAt time.Time // end of the executor container, zero if it has not

	ResourceVersion string

	// Problem names what about the pod could not be understood, "" for nearly
	// all: an unknown phase, a missing executor id. The executor is tracked all
	// the same, and no other is disturbed.
	Problem string

	// Pod is the pod itself, nil in a store made with WithoutPods. It is shared
	// by everybody who looks: do not change it, DeepCopy it first.
	Pod *corev1.Pod
}

// key names the life of one pod: its UID, or where there is none, as with
// client-go's fake clientset, its namespace and name.
func (e *Executor) key() types.UID {
	return lifeKey(e.UID, e.Namespace, e.Name)
}

func lifeKey(uid types.UID, namespace, name string) types.UID {
	if uid != "" {
		return uid
	}
	return types.UID(namespace + "/" + name)
}

// share makes e use the strings of an earlier state of the same pod where they
// are equal. A pod that is not kept then leaves one copy of them behind, not one
// here and one wherever the earlier state's are still in use.
func (e *Executor) share(known *Executor) {
	for _, pair := range [...]struct {
		own    *string
		common string
	}{
		{&e.Name, known.Name},
		{&e.Namespace, known.Namespace},
		{(*string)(&e.UID), string(known.UID)},
		{&e.ID, known.ID},
		{&e.Node, known.Node},
		{&e.PodIP, known.PodIP},
	} {
		if *pair.own == pair.common {
			*pair.own = pair.common
		}
	}
}

// sameNames reports whether the executor is found by the same names as in an
// earlier state. Labels can be changed, and the executor id is one; the rest is
// as good as fixed.
func (e *Executor) sameNames(known *Executor) bool {
	return e.ID == known.ID && e.Name == known.Name && e.Namespace == known.Namespace
}

// equals reports whether other is the same state of the same pod. The resource
// version alone does not tell, because fakes leave it as it is when the pod
// changes.
func (e *Executor) equals(other *Executor) bool {
	a, b := *e, *other
	a.Pod, b.Pod = nil, nil
	return a.ResourceVersion != "" && a == b
}

// gone is the executor as it is reported when its pod has left.
func (e *Executor) gone() *Executor {
	left := *e
	left.State = Deleted
	return &left
}

// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
)

// UnknownExitCode is the ExitCode of an executor whose container has not ended, or
// whose exit code is unknown. Spark's lifecycle manager uses the same value.
const UnknownExitCode = -1

// ErrNoPod is the error of Executor.Pod if the store was made with WithoutPods, or if no
// store has made the Executor.
var ErrNoPod = errors.New("watchsource: the store keeps no pods, make it without WithoutPods")

// An Executor is the state of one executor, read from its pod at one resource
// version. Copies are independent. Executors can be compared with ==, which also compares
// where the pod is kept. [Executor.Equal] compares the fields only.
type Executor struct {
	Name      string
	Namespace string
	UID       types.UID

	// ID is the value of the executor id label. It is empty if the pod has no such
	// label, or only the placeholder of a StatefulSet's template. It is the name of the pod
	// if [WithExecutorIDLabel] has an empty key.
	ID string

	// Node is the node that the pod is bound to, empty before it is bound.
	Node string
	// PodIP is the address of the pod, empty before it has one.
	PodIP string

	State State
	// Terminating is true if the pod has a deletion timestamp. An executor that is
	// shutting down is Running and Terminating.
	Terminating bool
	// Ready is true if the pod's condition Ready is True. A deleted executor is as ready as
	// its last known state.
	Ready bool

	// ExitCode is the exit code of the executor container, or UnknownExitCode.
	ExitCode int32
	// Restarts counts how often the kubelet has started the executor container again
	// (restartCount). It goes back if the node loses its records.
	Restarts int32
	// Reason is the reason that Kubernetes gives for the state, for example Evicted,
	// Error, Completed, CrashLoopBackOff or Unschedulable. The store takes the first of
	// these that exists: OOMKilled of the executor container, Disruption, the reason
	// of the executor container, of the pod, of another container. The pod's reason comes
	// before a reason of the container that says nothing, for example Error, and before
	// Completed in a pod that has failed. Message is the text that belongs to Reason. Both
	// are empty for an executor that runs normally.
	Reason  string
	Message string
	// Disruption is the reason of the pod's condition DisruptionTarget, for example
	// PreemptionByScheduler, or else of the condition TerminationTarget, which Kueue sets. It
	// is empty if the pod has no such condition. It does not depend on Reason.
	Disruption string

	CreatedAt  time.Time // creation of the pod
	StartedAt  time.Time // start of the executor container, zero if it has not
	FinishedAt time.Time // end of the executor container, zero if it has not

	ResourceVersion string

	// Problem describes a defect of the pod, for example an unknown phase, a missing
	// executor id, or a status that contradicts an end. It is nearly always empty. The
	// store tracks the executor in any case.
	Problem string

	// pod is nil in a store made with WithoutPods, and in an Executor that no store has made.
	pod *podwire.Pod
}

// Pod returns the pod in the state that the executor was read from, without its managedFields.
// That of a deleted executor is the last known state. Each call returns another copy, which the
// caller may change and keep.
//
// A call decodes the whole pod: use Label or Annotation if you need no more. It fails with
// [ErrNoPod] if the store was made with [WithoutPods], or if no store has made the Executor.
func (e Executor) Pod() (*corev1.Pod, error) {
	if e.pod == nil {
		return nil, ErrNoPod
	}
	pod, err := e.pod.Decode()
	if err != nil {
		return nil, fmt.Errorf("watchsource: decode the pod %s: %w", e.Name, err)
	}
	return pod, nil
}

// Label returns a label of the pod, and whether the pod has it. It does not decode the pod. It
// finds no label if Pod would return ErrNoPod.
func (e Executor) Label(key string) (value string, ok bool) {
	if e.pod == nil {
		return "", false
	}
	return e.pod.Label(key)
}

// Annotation returns an annotation of the pod, in the same way as Label.
func (e Executor) Annotation(key string) (value string, ok bool) {
	if e.pod == nil {
		return "", false
	}
	return e.pod.Annotation(key)
}

// Equal reports whether all fields are equal, times as by time.Time.Equal. It does not compare
// the pods. Packages such as go-cmp call it.
func (e Executor) Equal(other Executor) bool {
	if !e.CreatedAt.Equal(other.CreatedAt) || !e.StartedAt.Equal(other.StartedAt) || !e.FinishedAt.Equal(other.FinishedAt) {
		return false
	}
	other.CreatedAt, other.StartedAt, other.FinishedAt, other.pod = e.CreatedAt, e.StartedAt, e.FinishedAt, e.pod
	return e == other
}

// identity returns the names of the pod.
func (e *Executor) identity() podwire.Identity {
	return podwire.Identity{Namespace: e.Namespace, Name: e.Name, UID: e.UID, ResourceVersion: e.ResourceVersion}
}

// key identifies the pod, see [podwire.Identity.Key].
func (e *Executor) key() types.UID {
	if e.UID != "" {
		return e.UID
	}
	return e.identity().Key()
}

// share makes e use the strings of an earlier state of the same pod if they are
// equal. A store then holds only one copy of each string.
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

// sameNames reports whether the view finds the executor by the same names as an
// earlier state. The executor id may differ, because it is a label.
func (e *Executor) sameNames(known *Executor) bool {
	return e.ID == known.ID && e.Name == known.Name && e.Namespace == known.Namespace
}

// equals reports whether other is the same state of the same pod. Comparing resource
// versions is not enough, because fakes do not change them.
func (e *Executor) equals(other *Executor) bool {
	return e.ResourceVersion != "" && e.Equal(*other)
}

// known returns what a store has of the pod.
func (e *Executor) known() podwire.Known { return podwire.Known{Identity: e.identity(), Pod: e.pod} }

// hasPodOf reports whether both have equal pods, or none.
func (e *Executor) hasPodOf(other *Executor) bool {
	return e.pod == other.pod || e.pod != nil && other.pod != nil && e.pod.Equals(other.pod)
}

// gone returns the state that the store reports when the pod is gone.
func (e *Executor) gone() *Executor {
	left := *e
	left.State = Deleted
	return &left
}

// A State is the condition of an executor. The store derives it from the pod by Spark's
// table (ExecutorPodsSnapshot.scala), with these differences:
//
//   - A pod counts as Deleted only once the API server has reported that it is gone.
//     Until then a deletion timestamp sets [Executor.Terminating].
//   - A verdict on the pod decides over exit code 0 of the executor container, unless the
//     store has seen that end before: the phase Failed with a reason of the pod, for example
//     Evicted or DeadlineExceeded (kubernetes#115688). [Executor.ExitCode] is 0 then.
//   - Otherwise the end of the executor container decides, whatever the phase of the pod. The
//     kubelet's getPhase makes a pod Pending while any container waits, and
//     Failed if a sidecar is killed after the executor has succeeded.
//   - An end is final for its run. If a later status of the pod contradicts it, the
//     store notes that in [Executor.Problem]: the kubelet drops the container statuses
//     of a finished pod that it rejects after a restart (kubernetes#117955). Runs are distinguished
//     by the ID of the container, and by restart counts and times only where an ID is
//     missing.
//   - If a pod starts no container again (it has ended, or is deleted), a container that
//     waits has ended, and its last state is the end. If the kubelet had created the next
//     container before, and the store knows the run in the last state, the pod decides.
//   - An end does not count if a restart rule then starts the container again, or all
//     containers (KEP-5307, KEP-5532): the executor is Running. If only a policy
//     restarts the container, the end counts, and the next run may have another.
//   - Another container's failure fails the executor in the phase Pending too, and so
//     does the failure of an init container. This holds only if the pod is not being deleted,
//     and if the kubelet may not start the container again by its rules, its policy (KEP-753)
//     or the pod's policy.
//     The failure of a native sidecar does not fail the executor, because the kubelet
//     always restarts it.
//   - If the executor container runs, the executor is Running in the phase Pending too.
//     A pod has that phase while a sidecar waits for its image.
//   - If no container has a name of the executor container, the only container
//     of the pod is the executor. [WithExecutorContainerFunc] has no such rule.
//   - The executor container may be a restartable init container (KEP-753). Spark reads
//     the other containers only.
//   - A pod has a state even if its executor id is missing or is not a number. Spark
//     leaves the pod out, or rejects the update or the list that has it.
type State uint8

const (
	// Unknown is the phase Unknown, no phase, or a phase that Kubernetes does not define
	// (Spark has a state for the phase Terminating).
	Unknown State = iota
	// Pending is a pod that waits for a node, an image or a volume, and a pod without any
	// status, as client-go's fake clientset makes it.
	Pending
	// Running is a pod whose executor container has not ended.
	Running
	// Succeeded is an end with exit code 0.
	Succeeded
	// Failed is any other end: an exit code, an eviction, a lost node.
	Failed
	// Deleted is a pod that is gone. A snapshot never has this state. Only the After
	// of the Change that removed the executor has it.
	Deleted

	// The states have the numbers of those of podstate.
	stateCount = Deleted + 1
)

// String returns the name of the constant.
func (s State) String() string {
	if s < stateCount {
		return podstate.State(s).String()
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Ended reports whether the state is Succeeded or Failed: the executor has ended, and its
// pod still exists.
func (s State) Ended() bool { return podstate.State(s).Ended() }

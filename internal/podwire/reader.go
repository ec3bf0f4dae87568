// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// A Reader reads the fields of a pod from which a store makes an executor. It reads one pod after
// the other into the same memory. The zero value is ready to use. Only one goroutine at a time may
// use it.
type Reader struct {
	pod    corev1.Pod
	memory scratch
}

// readers is a pool for all stores of the process, because most stores are idle most of the time.
var readers = sync.Pool{New: func() any { return new(Reader) }}

// Borrow returns a Reader. The caller must give it back.
func Borrow() *Reader { return readers.Get().(*Reader) }

// GiveBack gives a Reader back. The pod that it has returned is then invalid, but the strings in
// the pod remain valid.
func (r *Reader) GiveBack() { readers.Put(r) }

// Read returns a pod that has only these fields:
//
//   - the name, the namespace, the UID, the resource version, the creation timestamp and the
//     deletion timestamp;
//   - the node, the restart policy of the pod, and the name, restart policy and restart rules of
//     each container;
//   - the phase, the reason, the message, the address, the conditions without their times, and the
//     name, ID, restart count, state and last state of each container.
//
// The pod is valid until Read is called again, and its strings remain valid. If another decoder has
// decoded the pod, Read returns that pod itself. The caller must not change the pod.
func (r *Reader) Read(p *Pod) *corev1.Pod {
	if p.decoded != nil {
		return p.decoded
	}
	meta, spec, policies := &r.pod.ObjectMeta, &r.pod.Spec, p.policies.spec
	if policies == nil {
		policies = p.policies.decode()
	}
	meta.Namespace, meta.Name, meta.UID, meta.ResourceVersion = p.Namespace, p.Name, p.UID, p.ResourceVersion
	meta.CreationTimestamp, meta.DeletionTimestamp = p.created, p.deletion
	spec.NodeName, spec.RestartPolicy = p.node, policies.RestartPolicy
	spec.Containers, spec.InitContainers = policies.Containers, policies.InitContainers
	r.memory[0] = p.status.AppendTo(r.memory[0][:0])
	r.readStatus(r.memory[0])
	return &r.pod
}

// Fields of PodStatus.
const (
	statusPhase                 = 1
	statusConditions            = 2
	statusMessage               = 3
	statusReason                = 4
	statusPodIP                 = 6
	statusContainerStatuses     = 8
	statusInitContainerStatuses = 10
)

func (r *Reader) readStatus(m protobuf.Message) {
	status := &r.pod.Status
	status.Phase, status.Message, status.Reason, status.PodIP = "", "", "", ""
	status.Conditions, status.ContainerStatuses, status.InitContainerStatuses =
		status.Conditions[:0], status.ContainerStatuses[:0], status.InitContainerStatuses[:0]
	for f := range m.Fields() {
		switch f.Key() {
		case statusPhase:
			status.Phase = corev1.PodPhase(f.Value)
		case statusMessage:
			status.Message = string(f.Value)
		case statusReason:
			status.Reason = string(f.Value)
		case statusPodIP:
			status.PodIP = string(f.Value)
		case statusConditions:
			readCondition(appendNext(&status.Conditions), f.Value)
		case statusContainerStatuses:
			readContainer(appendNext(&status.ContainerStatuses), f.Value)
		case statusInitContainerStatuses:
			readContainer(appendNext(&status.InitContainerStatuses), f.Value)
		}
	}
}

// appendNext appends an element without clearing its memory, which has an earlier element. It
// returns the element.
func appendNext[T any](to *[]T) *T {
	if n := len(*to); n < cap(*to) {
		*to = (*to)[:n+1]
	} else {
		var zero T
		*to = append(*to, zero)
	}
	return &(*to)[len(*to)-1]
}

// Fields of PodCondition.
const (
	conditionType    = 1
	conditionStatus  = 2
	conditionReason  = 5
	conditionMessage = 6
)

// readCondition reads a condition in place of another one, which often has the same strings.
func readCondition(condition *corev1.PodCondition, m protobuf.Message) {
	last := *condition
	*condition = corev1.PodCondition{}
	for f := range m.Fields() {
		switch f.Key() {
		case conditionType:
			condition.Type = corev1.PodConditionType(protobuf.StringLike(string(last.Type), f.Value))
		case conditionStatus:
			condition.Status = corev1.ConditionStatus(protobuf.StringLike(string(last.Status), f.Value))
		case conditionReason:
			condition.Reason = protobuf.StringLike(last.Reason, f.Value)
		case conditionMessage:
			condition.Message = protobuf.StringLike(last.Message, f.Value)
		}
	}
}

// Fields of ContainerStatus.
const (
	containerStatusName         = 1
	containerStatusState        = 2
	containerStatusLastState    = 3
	containerStatusRestartCount = 5
	containerStatusContainerID  = 8
)

// readContainer reads the status of a container in place of another one.
func readContainer(status *corev1.ContainerStatus, m protobuf.Message) {
	name := status.Name
	status.Name, status.ContainerID, status.RestartCount = "", "", 0
	status.State, status.LastTerminationState = corev1.ContainerState{}, corev1.ContainerState{}
	for f := range m.Fields() {
		switch f.Number {
		case containerStatusName:
			status.Name = protobuf.StringLike(name, f.Value)
		case containerStatusContainerID:
			status.ContainerID = string(f.Value)
		case containerStatusState:
			status.State.Unmarshal(f.Value)
		case containerStatusLastState:
			status.LastTerminationState.Unmarshal(f.Value)
		case containerStatusRestartCount:
			status.Unmarshal(f.Whole)
		}
	}
}

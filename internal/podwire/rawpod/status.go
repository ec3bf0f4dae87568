// SPDX-License-Identifier: Apache-2.0

package rawpod

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// Fields of PodStatus.
const (
	StatusPhase                 = 1
	StatusConditions            = 2
	StatusMessage               = 3
	StatusReason                = 4
	StatusPodIP                 = 6
	StatusContainerStatuses     = 8
	StatusInitContainerStatuses = 10
)

// ReadStatus reads what an executor needs of a valid status. The status that it reads into has an
// earlier one, whose memory and equal strings it uses again.
func ReadStatus(status *corev1.PodStatus, m protobuf.Message) {
	status.Phase, status.Message, status.Reason, status.PodIP = "", "", "", ""
	status.Conditions, status.ContainerStatuses, status.InitContainerStatuses =
		status.Conditions[:0], status.ContainerStatuses[:0], status.InitContainerStatuses[:0]
	for f := range m.Fields() {
		switch f.Key() {
		case StatusPhase:
			status.Phase = corev1.PodPhase(f.Value)
		case StatusMessage:
			status.Message = string(f.Value)
		case StatusReason:
			status.Reason = string(f.Value)
		case StatusPodIP:
			status.PodIP = string(f.Value)
		case StatusConditions:
			readCondition(appendNext(&status.Conditions), f.Value)
		case StatusContainerStatuses:
			readContainer(appendNext(&status.ContainerStatuses), f.Value)
		case StatusInitContainerStatuses:
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
	ContainerStatusName         = 1
	ContainerStatusState        = 2
	ContainerStatusLastState    = 3
	ContainerStatusRestartCount = 5
	ContainerStatusContainerID  = 8
)

// readContainer reads the status of a container in place of another one.
func readContainer(status *corev1.ContainerStatus, m protobuf.Message) {
	name := status.Name
	status.Name, status.ContainerID, status.RestartCount = "", "", 0
	status.State, status.LastTerminationState = corev1.ContainerState{}, corev1.ContainerState{}
	for f := range m.Fields() {
		switch f.Number {
		case ContainerStatusName:
			status.Name = protobuf.StringLike(name, f.Value)
		case ContainerStatusContainerID:
			status.ContainerID = string(f.Value)
		case ContainerStatusState:
			status.State.Unmarshal(f.Value)
		case ContainerStatusLastState:
			status.LastTerminationState.Unmarshal(f.Value)
		case ContainerStatusRestartCount:
			status.Unmarshal(f.Whole)
		}
	}
}

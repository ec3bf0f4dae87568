// SPDX-License-Identifier: Apache-2.0

package podwire

import corev1 "k8s.io/api/core/v1"

// Fields of PodStatus.
const (
	statusPhase             = 1
	statusConditions        = 2
	statusHostIP            = 5
	statusPodIP             = 6
	statusContainerStatuses = 8
	statusQOSClass          = 9
	statusPodIPs            = 12
	statusHostIPs           = 16
)

func (r *reader) status(status *corev1.PodStatus, m message) bool {
	for len(m) > 0 {
		rest := m
		f, ok := m.next()
		if !ok {
			return false
		}
		switch f.key() {
		case statusPhase:
			status.Phase = corev1.PodPhase(r.strings.get(f.value))
		case statusConditions:
			var added *corev1.PodCondition
			status.Conditions, added = another(status.Conditions, rest, statusConditions)
			ok = r.condition(added, f.value)
		case statusHostIP:
			status.HostIP = r.strings.get(f.value)
		case statusPodIP:
			status.PodIP = r.strings.get(f.value)
		case statusContainerStatuses:
			var added *corev1.ContainerStatus
			status.ContainerStatuses, added = another(status.ContainerStatuses, rest, statusContainerStatuses)
			ok = r.containerStatus(added, f.value)
		case statusQOSClass:
			status.QOSClass = corev1.PodQOSClass(r.strings.get(f.value))
		case statusPodIPs:
			var ip string
			ip, ok = r.ip(f.value)
			status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: ip})
		case statusHostIPs:
			var ip string
			ip, ok = r.ip(f.value)
			status.HostIPs = append(status.HostIPs, corev1.HostIP{IP: ip})
		default:
			ok = status.Unmarshal(f.whole) == nil
		}
		if !ok {
			return false
		}
	}
	return true
}

// another adds an element to the list of a repeated field, of which rest begins
// with the next. The first time it makes room for all that stand together.
func another[E any](list []E, rest message, number int32) (longer []E, added *E) {
	if list == nil {
		run, _ := rest.run(number)
		list = make([]E, 0, min(run.count(), mostExpected))
	}
	list = append(list, *new(E))
	return list, &list[len(list)-1]
}

// ip reads a PodIP or a HostIP.
func (r *reader) ip(m message) (ip string, ok bool) {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok || f.key() != 1 {
			return "", false
		}
		ip = r.strings.get(f.value)
	}
	return ip, true
}

// Fields of PodCondition.
const (
	conditionType               = 1
	conditionStatus             = 2
	conditionLastProbeTime      = 3
	conditionLastTransitionTime = 4
	conditionReason             = 5
	conditionMessage            = 6
)

func (r *reader) condition(condition *corev1.PodCondition, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		switch f.key() {
		case conditionType:
			condition.Type = corev1.PodConditionType(r.strings.get(f.value))
		case conditionStatus:
			condition.Status = corev1.ConditionStatus(r.strings.get(f.value))
		case conditionLastProbeTime:
			ok = condition.LastProbeTime.Unmarshal(f.value) == nil
		case conditionLastTransitionTime:
			ok = condition.LastTransitionTime.Unmarshal(f.value) == nil
		case conditionReason:
			condition.Reason = r.strings.get(f.value)
		case conditionMessage:
			condition.Message = r.strings.get(f.value)
		default:
			ok = condition.Unmarshal(f.whole) == nil
		}
		if !ok {
			return false
		}
	}
	return true
}

// Fields of ContainerStatus.
const (
	containerStatusName        = 1
	containerStatusImage       = 6
	containerStatusImageID     = 7
	containerStatusContainerID = 8
)

func (r *reader) containerStatus(status *corev1.ContainerStatus, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		switch f.key() {
		case containerStatusName:
			status.Name = r.strings.get(f.value)
		case containerStatusImage:
			status.Image = r.strings.get(f.value)
		case containerStatusImageID:
			status.ImageID = r.strings.get(f.value)
		case containerStatusContainerID:
			status.ContainerID = string(f.value)
		default:
			ok = status.Unmarshal(f.whole) == nil
		}
		if !ok {
			return false
		}
	}
	return true
}

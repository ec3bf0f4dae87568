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

// status reads what is not as it was before.
func (r *reader) status(now *state, m message, before *state) bool {
	var conditions, containers span
	together := true
	digest, ok := r.states.digest(m, func(f field, at int) bool {
		switch f.key() {
		case statusConditions:
			together = together && conditions.extend(at, f)
			return true
		case statusContainerStatuses:
			together = together && containers.extend(at, f)
			return true
		}
		return false
	})
	if !ok || !together {
		return false
	}
	status := &now.pod.Status
	now.status = digest
	if now.status == before.status {
		*status = before.pod.Status
	} else if !r.settled(status, m) {
		return false
	}
	if status.Conditions, ok = r.conditions(conditions.of(m), conditions.fields); !ok {
		return false
	}
	status.ContainerStatuses, ok = r.containerStatuses(now, containers.of(m), containers.fields, before)
	return ok
}

// settled reads what else there is of a status, which seldom changes.
func (r *reader) settled(status *corev1.PodStatus, m message) bool {
	for len(m) > 0 {
		f, _ := m.next()
		ok := true
		switch f.key() {
		case statusConditions, statusContainerStatuses:
		case statusPhase:
			status.Phase = corev1.PodPhase(r.strings.get(f.value))
		case statusHostIP:
			status.HostIP = r.strings.get(f.value)
		case statusPodIP:
			status.PodIP = r.strings.get(f.value)
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

func (r *reader) conditions(run message, n int) ([]corev1.PodCondition, bool) {
	if n == 0 {
		return nil, true
	}
	list := make([]corev1.PodCondition, 0, min(n, mostExpected))
	for len(run) > 0 {
		f, _ := run.next()
		list = append(list, corev1.PodCondition{})
		if !r.condition(&list[len(list)-1], f.value) {
			return nil, false
		}
	}
	return list, true
}

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
	containerStatusName         = 1
	containerStatusReady        = 4
	containerStatusRestartCount = 5
	containerStatusImage        = 6
	containerStatusImageID      = 7
	containerStatusContainerID  = 8
	containerStatusStarted      = 9

	// containerStatusAllotted and what follows it says what the container was
	// given: resources, mounts, a user. Many containers were given the same.
	containerStatusAllotted = 10
)

// containerStatuses reads a run of them. Where no more has happened than that
// containers became ready, or were started again, the rest is as before.
func (r *reader) containerStatuses(now *state, run message, n int, before *state) ([]corev1.ContainerStatus, bool) {
	if n == 0 {
		return nil, true
	}
	for m := run; len(m) > 0; {
		f, _ := m.next()
		sum, ok := r.states.digest(f.value, turning)
		if !ok {
			return nil, false
		}
		now.containers = now.containers*31 + sum
	}
	known := before.pod.Status.ContainerStatuses
	shared := now.containers == before.containers && len(known) == n
	list := make([]corev1.ContainerStatus, 0, min(n, mostExpected))
	for i := range n {
		f, _ := run.next()
		list = append(list, corev1.ContainerStatus{})
		status, ok := &list[i], false
		if shared {
			*status = known[i]
			ok = turned(status, f.value)
		} else {
			ok = r.containerStatus(status, f.value)
		}
		if !ok {
			return nil, false
		}
	}
	return list, true
}

// turning are the fields that turn over while the container stays the same.
func turning(f field, _ int) bool {
	return f.kind == varintKind &&
		(f.number == containerStatusReady || f.number == containerStatusRestartCount || f.number == containerStatusStarted)
}

// turned reads these fields only. They stand together, as a rule.
func turned(status *corev1.ContainerStatus, m message) bool {
	status.Ready, status.RestartCount, status.Started = false, 0, nil
	for len(m) > 0 {
		f, _ := m.next()
		if turning(f, 0) && !turn(status, f) {
			return false
		}
	}
	return true
}

// Shared by all containers that have or have not started.
var started, notStarted = new(true), new(false)

func turn(status *corev1.ContainerStatus, f field) bool {
	if f.number == containerStatusStarted && f.kind == varintKind && len(f.whole) == 2 {
		status.Started = notStarted
		if f.whole[1] != 0 {
			status.Started = started
		}
		return true
	}
	return status.Unmarshal(f.whole) == nil
}

func (r *reader) containerStatus(status *corev1.ContainerStatus, m message) bool {
	m, allotted := m.before(containerStatusAllotted)
	if len(allotted) > 0 {
		var ok bool
		if *status, ok = r.allotted.get(allotted, readAllotted); !ok {
			return false
		}
	}
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
			ok = turn(status, f)
		}
		if !ok {
			return false
		}
	}
	return true
}

// readAllotted reads the end of a ContainerStatus.
func readAllotted(m message) (status corev1.ContainerStatus, ok bool) {
	for rest := m; len(rest) > 0; {
		if f, ok := rest.next(); !ok || f.number < containerStatusAllotted {
			return status, false // out of order
		}
	}
	return status, status.Unmarshal(m) == nil
}

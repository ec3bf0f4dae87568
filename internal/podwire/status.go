// SPDX-License-Identifier: Apache-2.0

package podwire

import corev1 "k8s.io/api/core/v1"

// Fields of PodStatus.
const (
	statusPhase                 = 1
	statusConditions            = 2
	statusMessage               = 3
	statusReason                = 4
	statusHostIP                = 5
	statusPodIP                 = 6
	statusContainerStatuses     = 8
	statusQOSClass              = 9
	statusInitContainerStatuses = 10
	statusPodIPs                = 12
	statusHostIPs               = 16
)

// status decodes the parts of a status that have changed.
func (d *decoder) status(now *knownPod, m message, before *knownPod) bool {
	var conditions, containers span
	together := true
	digest, ok := d.known.digest(m, func(f field, at int) bool {
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
	} else if !d.readStableStatus(status, m) {
		return false
	}
	if status.Conditions, ok = d.conditions(conditions.of(m), conditions.fields); !ok {
		return false
	}
	status.ContainerStatuses, ok = d.containerStatuses(now, containers.of(m), containers.fields, before)
	return ok
}

// readStableStatus decodes the fields of a status that rarely change.
func (d *decoder) readStableStatus(status *corev1.PodStatus, m message) bool {
	for len(m) > 0 {
		f, _ := m.next()
		ok := true
		switch f.key() {
		case statusConditions, statusContainerStatuses:
		case statusPhase:
			status.Phase = corev1.PodPhase(d.strings.get(f.value))
		case statusHostIP:
			status.HostIP = d.strings.get(f.value)
		case statusPodIP:
			status.PodIP = d.strings.get(f.value)
		case statusQOSClass:
			status.QOSClass = corev1.PodQOSClass(d.strings.get(f.value))
		case statusPodIPs:
			var ip string
			ip, ok = d.ip(f.value)
			status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: ip})
		case statusHostIPs:
			var ip string
			ip, ok = d.ip(f.value)
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
func (d *decoder) ip(m message) (ip string, ok bool) {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok || f.key() != 1 {
			return "", false
		}
		ip = d.strings.get(f.value)
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

var noCondition corev1.PodCondition

func (d *decoder) conditions(run message, n int) ([]corev1.PodCondition, bool) {
	if n == 0 {
		return nil, true
	}
	list := make([]corev1.PodCondition, 0, min(n, mostExpected))
	for len(run) > 0 {
		f, _ := run.next()
		list = append(list, corev1.PodCondition{})
		if !d.condition(&list[len(list)-1], &noCondition, f.value) {
			return nil, false
		}
	}
	return list, true
}

// condition decodes a condition. It uses the strings of another condition that are equal.
func (d *decoder) condition(condition, like *corev1.PodCondition, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		switch key := f.key(); {
		case key == conditionType:
			condition.Type = corev1.PodConditionType(d.stringLike(string(like.Type), f.value))
		case key == conditionStatus:
			condition.Status = corev1.ConditionStatus(d.stringLike(string(like.Status), f.value))
		case key == conditionReason:
			condition.Reason = d.stringLike(like.Reason, f.value)
		case key == conditionMessage:
			condition.Message = d.stringLike(like.Message, f.value)
		case d.form == Summary:
			ok = conditionShape().fitsField(f)
		case key == conditionLastProbeTime:
			ok = condition.LastProbeTime.Unmarshal(f.value) == nil
		case key == conditionLastTransitionTime:
			ok = condition.LastTransitionTime.Unmarshal(f.value) == nil
		default:
			ok = condition.Unmarshal(f.whole) == nil
		}
		if !ok {
			return false
		}
	}
	return true
}

// stringLike returns the bytes as a string, which is often equal to a known one.
func (d *decoder) stringLike(known string, b []byte) string {
	if known == string(b) {
		return known
	}
	return d.strings.get(b)
}

// Fields of ContainerStatus.
const (
	containerStatusName         = 1
	containerStatusState        = 2
	containerStatusLastState    = 3
	containerStatusReady        = 4
	containerStatusRestartCount = 5
	containerStatusImage        = 6
	containerStatusImageID      = 7
	containerStatusContainerID  = 8
	containerStatusStarted      = 9

	// The fields from containerStatusResources on have the resources, mounts and user
	// of the container. Many containers have the same.
	containerStatusResources = 10
)

// containerStatuses decodes the statuses of several containers. If only the volatile
// fields have changed, the statuses share all else with the previous state.
func (d *decoder) containerStatuses(now *knownPod, run message, n int, before *knownPod) ([]corev1.ContainerStatus, bool) {
	if n == 0 {
		return nil, true
	}
	for m := run; len(m) > 0; {
		f, _ := m.next()
		sum, ok := d.known.digest(f.value, isVolatile)
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
			ok = readVolatile(status, f.value)
		} else {
			ok = d.containerStatus(status, f.value)
		}
		if !ok {
			return nil, false
		}
	}
	return list, true
}

// isVolatile reports whether a field changes while the container stays the same.
func isVolatile(f field, _ int) bool {
	return f.kind == varintKind &&
		(f.number == containerStatusReady || f.number == containerStatusRestartCount || f.number == containerStatusStarted)
}

// readVolatile decodes only the volatile fields. Usually they are neighbours.
func readVolatile(status *corev1.ContainerStatus, m message) bool {
	status.Ready, status.RestartCount, status.Started = false, 0, nil
	for len(m) > 0 {
		f, _ := m.next()
		if isVolatile(f, 0) && !setVolatile(status, f) {
			return false
		}
	}
	return true
}

// All statuses share these two values of Started.
var started, notStarted = new(true), new(false)

func setVolatile(status *corev1.ContainerStatus, f field) bool {
	if f.number == containerStatusStarted && f.kind == varintKind && len(f.whole) == 2 {
		status.Started = notStarted
		if f.whole[1] != 0 {
			status.Started = started
		}
		return true
	}
	return status.Unmarshal(f.whole) == nil
}

func (d *decoder) containerStatus(status *corev1.ContainerStatus, m message) bool {
	m, resources := m.before(containerStatusResources)
	if len(resources) > 0 {
		var ok bool
		if *status, ok = d.resources.get(resources, readResources); !ok {
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
			status.Name = d.strings.get(f.value)
		case containerStatusImage:
			status.Image = d.strings.get(f.value)
		case containerStatusImageID:
			status.ImageID = d.strings.get(f.value)
		case containerStatusContainerID:
			status.ContainerID = string(f.value)
		default:
			ok = setVolatile(status, f)
		}
		if !ok {
			return false
		}
	}
	return true
}

// readResources decodes the end of a ContainerStatus.
func readResources(m message) (status corev1.ContainerStatus, ok bool) {
	for rest := m; len(rest) > 0; {
		if f, ok := rest.next(); !ok || f.number < containerStatusResources {
			return status, false // out of order
		}
	}
	return status, status.Unmarshal(m) == nil
}

// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"unsafe"
	"weak"

	corev1 "k8s.io/api/core/v1"
)

// leastNames is the size of the smallest name and UID that are remembered. An empty string
// need not point to an allocation, a string of one byte is in none, and one of up to 16 bytes
// shares it with others. A UID of the API server has 36 bytes.
const leastNames = 17

// droppedPod has the parts that the decoder remembers of a pod that its receiver does not keep.
// The next state of the pod has the same strings, and the same spec is not decoded again.
//
// It refers to the name and the UID, which internPair has put behind each other in one
// allocation. The pointer is weak: it is nil as soon as neither string is held.
type droppedPod struct {
	start weak.Pointer[byte]
	size  int // of both strings

	specDigest    uint64 // of the whole spec
	nodeName      string
	restartPolicy corev1.RestartPolicy
	policies      *policiesOfContainers // nil for most pods
}

type policiesOfContainers struct {
	initContainers, containers []corev1.Container
}

// newDroppedPod returns nil if the names are too short. internPair or names has made the
// strings of the state.
func newDroppedPod(now *knownPod) *droppedPod {
	pod := &now.pod
	size := len(pod.Name) + len(pod.UID)
	if pod.Name == "" || size < leastNames {
		return nil
	}
	dropped := &droppedPod{
		start:         weak.Make(unsafe.StringData(pod.Name)),
		size:          size,
		specDigest:    now.spec,
		nodeName:      pod.Spec.NodeName,
		restartPolicy: pod.Spec.RestartPolicy,
	}
	if pod.Spec.InitContainers != nil || pod.Spec.Containers != nil {
		dropped.policies = &policiesOfContainers{pod.Spec.InitContainers, pod.Spec.Containers}
	}
	return dropped
}

// matches reports whether a state has the same strings and the same spec. p may be nil.
func (p *droppedPod) matches(now *knownPod) bool {
	return p != nil && p.specDigest == now.spec && now.pod.Name != "" && p.start.Value() == unsafe.StringData(now.pod.Name)
}

// names returns the strings of a name and a UID, if they are still held. p may be nil.
func (p *droppedPod) names(name, uid []byte) (nameString, uidString string, ok bool) {
	if p == nil || p.size != len(name)+len(uid) {
		return "", "", false
	}
	start := p.start.Value()
	if start == nil {
		return "", "", false
	}
	both := unsafe.String(start, p.size)
	if both[:len(name)] != string(name) || both[len(name):] != string(uid) {
		return "", "", false
	}
	return both[:len(name)], both[len(name):], true
}

// spec reports whether the spec with a digest is remembered, and then copies it. p may be nil.
func (p *droppedPod) spec(to *corev1.PodSpec, digest uint64) bool {
	if p == nil || p.specDigest != digest {
		return false
	}
	to.NodeName, to.RestartPolicy = p.nodeName, p.restartPolicy
	if p.policies != nil {
		to.InitContainers, to.Containers = p.policies.initContainers, p.policies.containers
	}
	return true
}

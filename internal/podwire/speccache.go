// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"hash/maphash"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A SpecCache belongs to a receiver that does not keep the pods. It has the strings of each
// pod that the receiver holds, so that the next state has the same, and its trimmed spec, so
// that the same spec is not decoded again.
//
// The decoder calls the methods, from any goroutine. They must not call the decoder.
type SpecCache interface {
	// Lookup returns the zero value for a pod that the receiver does not hold. It does not
	// keep uid.
	Lookup(uid []byte) CachedPod
	// Set does nothing if the receiver does not hold the pod.
	Set(uid types.UID, spec CachedSpec)
}

// CachedPod is what a SpecCache has of a pod.
type CachedPod struct {
	Name string
	UID  types.UID
	Spec CachedSpec
}

// A CachedSpec is a trimmed spec with the digest of the whole spec. The zero value has no spec.
type CachedSpec struct {
	Digest uint64
	spec   *trimmedSpec // shared by pods with an equal one
}

// trimmedSpec has what a trimmed pod has of its spec.
type trimmedSpec struct {
	nodeName                   string
	restartPolicy              corev1.RestartPolicy
	initContainers, containers []corev1.Container
}

func (s *trimmedSpec) equals(spec *corev1.PodSpec) bool {
	return s.nodeName == spec.NodeName && s.restartPolicy == spec.RestartPolicy &&
		sameSlice(s.initContainers, spec.InitContainers) && sameSlice(s.containers, spec.Containers)
}

// sameSlice reports whether two slices are one.
func sameSlice(a, b []corev1.Container) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// copyTo reports whether the spec has a digest, and then copies it.
func (c CachedSpec) copyTo(spec *corev1.PodSpec, digest uint64) bool {
	if c.spec == nil || c.Digest != digest {
		return false
	}
	spec.NodeName, spec.RestartPolicy = c.spec.nodeName, c.spec.restartPolicy
	spec.InitContainers, spec.Containers = c.spec.initContainers, c.spec.containers
	return true
}

// trimmedSpecs is the number of specs that the pods of a decoder can share.
const trimmedSpecs = 256

// newSpecs has the specs that were decoded and are not in the SpecCache yet: a receiver gets
// a pod after it was decoded, and a list when all of it was decoded.
type newSpecs struct {
	seed    maphash.Seed
	shared  []*trimmedSpec // by the hash of the node
	waiting map[types.UID]CachedSpec
}

// add adds the spec of a pod.
func (s *newSpecs) add(pod *corev1.Pod, digest uint64) {
	if pod.UID == "" {
		return
	}
	if s.shared == nil {
		s.seed, s.shared = maphash.MakeSeed(), make([]*trimmedSpec, trimmedSpecs)
	}
	shared := &s.shared[maphash.String(s.seed, pod.Spec.NodeName)%trimmedSpecs]
	if *shared == nil || !(*shared).equals(&pod.Spec) {
		*shared = &trimmedSpec{
			nodeName: pod.Spec.NodeName, restartPolicy: pod.Spec.RestartPolicy,
			initContainers: pod.Spec.InitContainers, containers: pod.Spec.Containers,
		}
	}
	if s.waiting == nil {
		s.waiting = map[types.UID]CachedSpec{}
	}
	s.waiting[pod.UID] = CachedSpec{digest, *shared}
}

// moveTo moves the specs to the cache.
func (s *newSpecs) moveTo(cache SpecCache) {
	for uid, spec := range s.waiting {
		cache.Set(uid, spec)
	}
	if len(s.waiting) > mostExpected {
		s.waiting = nil // a map does not shrink
	} else {
		clear(s.waiting)
	}
}

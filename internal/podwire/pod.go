// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"encoding/binary"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The fields below bear the numbers of k8s.io/api/core/v1/generated.proto and
// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto.
//
// A single field is also a message, and Unmarshal merges messages. So the rare fields are
// passed, one by one, to the Unmarshal that client-go uses.

// Fields of Pod.
const (
	podMetadata = 1
	podSpec     = 2
	podStatus   = 3
)

// pod decodes a pod, a Summary into memory unless that is nil. It returns nil if it does not
// understand all of the message.
func (d *decoder) pod(m message, memory *podMemory) *corev1.Pod {
	parts, ok := partsOf(m)
	if !ok {
		return nil
	}
	if pod := d.partial(parts.metadata); pod != nil {
		return pod
	}
	if d.form == Summary {
		return d.summary(parts, memory)
	}
	return d.whole(parts)
}

// podParts are the parts of a pod.
type podParts struct{ metadata, spec, status message }

func partsOf(m message) (podParts, bool) {
	var parts [podStatus + 1]message
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return podParts{}, false
		}
		switch part := f.key(); {
		case part < podMetadata || part > podStatus:
			if new(corev1.Pod).Unmarshal(f.whole) != nil {
				return podParts{}, false
			}
		case parts[part] != nil:
			return podParts{}, false // Unmarshal would merge it into a part that pods share
		default:
			parts[part] = f.value
		}
	}
	return podParts{parts[podMetadata], parts[podSpec], parts[podStatus]}, true
}

// whole decodes the parts of a pod that differ from its previous state.
func (d *decoder) whole(parts podParts) *corev1.Pod {
	meta, ok := d.readHeader(parts.metadata)
	if !ok {
		return nil
	}
	now, before, cached := new(knownPod), d.known.of(meta.uid), d.lookup(meta)
	now.metadata = meta.digest
	if now.metadata == before.metadata {
		now.pod.ObjectMeta = before.pod.ObjectMeta
	} else if !d.metadata(&now.pod.ObjectMeta, meta, cached, parts.metadata) {
		return nil
	}
	now.pod.ResourceVersion = string(meta.resourceVersion)
	now.spec = d.known.add(0, parts.spec)
	if now.spec == before.spec {
		now.pod.Spec = before.pod.Spec
	} else if !d.readSpec(&now.pod, parts.spec, now.spec, cached) {
		return nil
	}
	if !d.status(now, parts.status, before) {
		return nil
	}
	d.known.put(now)
	return &now.pod
}

// lookup returns what the receiver has of a pod that it does not keep.
func (d *decoder) lookup(meta header) (cached CachedPod) {
	if d.cache != nil {
		cached = d.cache.Lookup(meta.uid)
	}
	return cached
}

// readSpec sets the spec of a pod. It decodes a spec whose digest is not cached.
func (d *decoder) readSpec(pod *corev1.Pod, m message, digest uint64, cached CachedPod) bool {
	if cached.Spec.copyTo(&pod.Spec, digest) {
		return true
	}
	if !d.spec(&pod.Spec, m) {
		return false
	}
	if d.cache != nil {
		d.newSpecs.add(pod, digest)
	}
	return true
}

// Fields of ObjectMeta.
const (
	metaName              = 1
	metaNamespace         = 3
	metaUID               = 5
	metaResourceVersion   = 6
	metaCreationTimestamp = 8
	metaDeletionTimestamp = 9
	metaLabels            = 11
	metaAnnotations       = 12
	metaOwnerReferences   = 13
	metaManagedFields     = 17
)

// header holds the fields of ObjectMeta that are needed to find the pod's previous state.
type header struct {
	name, uid       []byte
	resourceVersion []byte
	digest          uint64 // of the fields that rarely change
}

// readHeader also validates managedFields, without decoding them.
func (d *decoder) readHeader(metadata message) (seen header, ok bool) {
	fit := true
	seen.digest, ok = d.known.digest(metadata, func(f field, _ int) bool {
		switch f.key() {
		case metaName:
			seen.name = f.value
		case metaUID:
			seen.uid = f.value
		case metaResourceVersion:
			seen.resourceVersion = f.value
			return true
		case metaManagedFields:
			fit = fit && managedShape().fits(f.value)
			return true
		}
		return false
	})
	return seen, ok && fit
}

func (d *decoder) metadata(meta *metav1.ObjectMeta, seen header, cached CachedPod, m message) bool {
	meta.Name, meta.UID = d.names(seen, cached)
	for len(m) > 0 {
		rest := m
		f, ok := m.next()
		if !ok {
			return false
		}
		switch f.key() {
		case metaName, metaUID, metaResourceVersion, metaManagedFields:
			// In the header.
		case metaNamespace:
			meta.Namespace = d.strings.get(f.value)
		case metaCreationTimestamp:
			ok = meta.CreationTimestamp.Unmarshal(f.value) == nil
		case metaLabels:
			var run message
			if run, m = rest.run(metaLabels); meta.Labels != nil {
				return false // in two places
			}
			meta.Labels = make(map[string]string, min(run.count(), mostExpected))
			ok = d.readMap(meta.Labels, run, meta.Name)
		case metaAnnotations:
			var run message
			if run, m = rest.run(metaAnnotations); meta.Annotations != nil {
				return false
			}
			meta.Annotations, ok = d.annotations.get(run, d.stringMap)
		case metaOwnerReferences:
			var run message
			if run, m = rest.run(metaOwnerReferences); meta.OwnerReferences != nil {
				return false
			}
			meta.OwnerReferences, ok = d.owners.get(run, ownerReferences)
		default:
			ok = meta.Unmarshal(f.whole) == nil
		}
		if !ok {
			return false
		}
	}
	return true
}

// Fields of the entries of maps.
const (
	mapKey   = 1
	mapValue = 2
)

// stringMap reads the entries of a map, which are messages of a key and a value.
func (d *decoder) stringMap(entries message) (map[string]string, bool) {
	read := make(map[string]string, min(entries.count(), mostExpected))
	return read, d.readMap(read, entries, "")
}

// readMap reads a map of a pod with a name.
func (d *decoder) readMap(to map[string]string, entries message, name string) bool {
	for len(entries) > 0 {
		entry, _ := entries.next()
		key, value, ok := mapEntry(entry.value)
		if !ok {
			return false
		}
		to[d.strings.get(key)] = d.valueOf(value, name)
	}
	return true
}

// valueOf returns the value of a label of a pod with a name. A value that ends the name shares
// its memory: the names of Spark's executors end with the executor id.
func (d *decoder) valueOf(value []byte, name string) string {
	if start := len(name) - len(value); len(value) > 0 && start >= 0 && name[start:] == string(value) {
		return name[start:]
	}
	return d.strings.get(value)
}

// names returns the name and the UID of a pod, from the cache if it has them.
func (d *decoder) names(seen header, cached CachedPod) (name string, uid types.UID) {
	if cached.Name == string(seen.name) && string(cached.UID) == string(seen.uid) {
		return cached.Name, cached.UID
	}
	name, uidString := d.internPair(seen.name, seen.uid)
	return name, types.UID(uidString)
}

// internPair returns two strings that share one allocation.
func (d *decoder) internPair(a, b []byte) (string, string) {
	d.scratch = append(append(d.scratch[:0], a...), b...)
	both := string(d.scratch)
	return both[:len(a)], both[len(a):]
}

func ownerReferences(run message) ([]metav1.OwnerReference, bool) {
	var meta metav1.ObjectMeta
	err := meta.Unmarshal(run)
	return meta.OwnerReferences, err == nil
}

// Fields of PodSpec and Container that a trimmed pod has.
const (
	specContainers     = 2
	specRestartPolicy  = 3
	specNodeName       = 10
	specInitContainers = 20

	containerName          = 1
	containerRestartPolicy = 24
	containerRestartRules  = 25
)

func (d *decoder) spec(spec *corev1.PodSpec, m message) bool {
	if d.form == Full {
		return spec.Unmarshal(m) == nil
	}
	if !specShape().fits(m) {
		return false
	}
	kept := message(d.scratch[:0]) // a PodSpec of containers
	several := count(m, specContainers) > 1
	for len(m) > 0 {
		f, _ := m.next()
		switch f.number {
		case specContainers:
			kept = appendPolicy(kept, f, several)
		case specInitContainers:
			kept = appendPolicy(kept, f, false)
		case specRestartPolicy:
			spec.RestartPolicy = corev1.RestartPolicy(d.strings.get(f.value))
		case specNodeName:
			spec.NodeName = d.strings.get(f.value)
		}
	}
	d.scratch = kept
	if len(kept) == 0 {
		return true
	}
	policies, ok := d.policies.get(kept, func(m message) (policies corev1.PodSpec, ok bool) {
		return policies, policies.Unmarshal(m) == nil
	})
	spec.InitContainers, spec.Containers = policies.InitContainers, policies.Containers
	return ok
}

func count(m message, number int32) (n int) {
	for len(m) > 0 {
		if f, _ := m.next(); f.number == number {
			n++
		}
	}
	return n
}

// appendPolicy appends what a trimmed pod has of a container.
func appendPolicy(to message, container field, always bool) message {
	var kept message
	for m := message(container.value); len(m) > 0; {
		f, _ := m.next()
		switch f.number {
		case containerName, containerRestartRules:
			kept = append(kept, f.whole...)
		case containerRestartPolicy:
			kept = append(kept, f.whole...)
			always = true
		}
	}
	if !always {
		return to
	}
	to = binary.AppendUvarint(to, uint64(container.number)<<3|bytesKind)
	to = binary.AppendUvarint(to, uint64(len(kept)))
	return append(to, kept...)
}

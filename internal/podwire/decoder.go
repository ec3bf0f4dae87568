// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"

	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire/envelope"
	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
)

// Known has what the receiver knows of a pod. The zero value means that it does not have the pod.
type Known struct {
	Identity
	// Pod is the last state of the pod. It is nil if the receiver does not keep it.
	Pod *Pod
}

// A Form is the form in which a receiver gets pods.
type Form uint8

// The forms. A receiver has to expect decoded pods in any case, from other media types.
const (
	// Wire is a packed pod.
	Wire Form = iota
	// Whole is a decoded pod.
	Whole
	// Trimmed is a decoded pod without the parts that [Pod.Trimmed] leaves out.
	Trimmed
)

// A decoder reads pods and keeps the templates that they share.
type decoder struct {
	// Fixed after newDecoder.
	form Form
	// filter is nil if all pods are needed.
	filter *Filter
	// known is nil if the receiver cannot be asked.
	known func(uid []byte) Known
	// seed is that of the hashes that kind returns.
	seed maphash.Seed

	// mu guards the following fields.
	mu                     sync.Mutex
	metadata, spec, status packing.Packer
	// kept is memory for the policies of a spec.
	kept []byte
	// rest is memory for metadata without the fields that are not packed.
	rest []byte
	// strings has namespaces and nodes, which many pods share.
	strings  map[string]string
	policies policyCache
}

func newDecoder(form Form, filter *Filter, known func(uid []byte) Known) *decoder {
	return &decoder{
		form: form, filter: filter, known: known, strings: map[string]string{}, seed: maphash.MakeSeed(),
		metadata: packing.NewPacker(packing.MetadataShape()), spec: packing.NewPacker(packing.SpecShape()), status: packing.NewPacker(packing.StatusShape()),
	}
}

// object reads a pod or a list of pods. It returns nil for everything that it does not understand.
func (d *decoder) object(data []byte) runtime.Object {
	raw, kind, ok := envelope.Open(data)
	if !ok {
		return nil
	}
	switch string(kind) {
	case "Pod":
		if pod := d.pod(raw); pod != nil {
			return pod
		}
	case "PodList":
		if list := new(metainternal.List); d.list(list, raw) {
			return list
		}
	}
	return nil
}

func (d *decoder) list(list *metainternal.List, m protobuf.Message) bool {
	for len(m) > 0 {
		f, ok := m.Next()
		if !ok {
			return false
		}
		switch f.Key() {
		case rawpod.ListMetadata:
			ok = list.ListMeta.Unmarshal(f.Value) == nil
		case rawpod.ListItems:
			if _, other := d.filter.otherShard(f.Value); other {
				continue
			}
			pod := d.pod(f.Value)
			ok = pod != nil
			list.Items = append(list.Items, pod)
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}

// passOver reads the namespace and the version of a pod in another shard into memory. It returns
// false for any other object.
func (d *decoder) passOver(memory *Pod, data []byte) bool {
	raw, kind, ok := envelope.Open(data)
	if !ok || string(kind) != "Pod" {
		return false
	}
	id, ok := d.filter.otherShard(raw)
	if ok {
		memory.passOver(protobuf.StringLike(memory.Namespace, id.Namespace), string(id.ResourceVersion))
	}
	return ok
}

// pod reads a pod. It returns nil if it does not understand all of the message. It takes the lock
// for each pod, so that a long list does not delay a watch.
func (d *decoder) pod(m protobuf.Message) *Pod {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.shrink()
	return d.read(m)
}

// shrink frees the memory that an unusually large pod has needed.
func (d *decoder) shrink() {
	if cap(d.rest)+cap(d.kept) > packing.LongestMemory {
		d.rest, d.kept = nil, nil
	}
	d.metadata.Shrink()
	d.spec.Shrink()
	d.status.Shrink()
}

func (d *decoder) read(m protobuf.Message) *Pod {
	parts, ok := rawpod.Split(m)
	if !ok {
		return nil
	}
	if id, value, skip := d.filter.skips(parts.Metadata); skip {
		return Part(d.identify(id, Identity{}), d.filter.Label, string(value))
	}
	id, ok := d.readMetadata(parts.Metadata)
	if !ok {
		return nil
	}
	if d.form != Wire {
		return d.decode(parts, id)
	}
	known := d.lookup(id.UID)
	pod := &Pod{Identity: d.identify(id, known.Identity)}
	before := cmp.Or(known.Pod, noPod)
	if !d.packMetadata(pod, d.rest, before) || !d.packSpec(pod, parts.Spec, before) {
		return nil
	}
	if pod.status, ok = d.status.Pack(parts.Status, before.status, func() uint64 { return d.kind(parts.Status) }); !ok {
		return nil
	}
	return pod
}

// decode decodes a pod for a receiver that wants it decoded. It returns nil if the pod is damaged.
func (d *decoder) decode(parts rawpod.Parts, id rawpod.Identity) *Pod {
	parts.Metadata = d.rest
	if d.form == Trimmed {
		if !packing.SpecShape().Fits(parts.Spec) {
			return nil
		}
		parts = parts.Trimmed()
	}
	decoded, err := parts.Decode()
	if err != nil {
		return nil
	}
	decoded.ResourceVersion = string(id.ResourceVersion)
	pod := Of(decoded)
	pod.trimmed = d.form == Trimmed
	return pod
}

// packMetadata packs metadata and reads the times in it, unless the metadata has not changed.
func (d *decoder) packMetadata(pod *Pod, m protobuf.Message, before *Pod) (ok bool) {
	if before.metadata.Template != nil && before.metadata.Equals(m) {
		pod.metadata, pod.created, pod.deletion = before.metadata, before.created, before.deletion
		return true
	}
	if pod.metadata, ok = d.metadata.Pack(m, before.metadata, func() uint64 { return d.kind(nil) }); ok {
		pod.created, pod.deletion = rawpod.Times(m)
	}
	return ok
}

// packSpec packs a spec and reads the node and the policies in it, unless the spec has not changed.
func (d *decoder) packSpec(pod *Pod, m protobuf.Message, before *Pod) (ok bool) {
	if before.policies != nil && before.spec.Equals(m) {
		pod.spec, pod.node, pod.policies = before.spec, before.node, before.policies
		return true
	}
	if pod.spec, ok = d.spec.Pack(m, before.spec, func() uint64 { return d.kind(nil) }); ok {
		d.readSpec(pod, m)
	}
	return ok
}

// kind returns a hash of what the pods of an owner have in common: the namespace, the owners and
// the keys of the labels. For a status it also hashes the phase.
func (d *decoder) kind(status protobuf.Message) uint64 {
	var hash maphash.Hash
	hash.SetSeed(d.seed)
	for f := range protobuf.Message(d.rest).Fields() {
		switch f.Key() {
		case rawpod.MetaNamespace, rawpod.MetaOwnerReferences:
			hash.Write(f.Whole)
		case rawpod.MetaLabels:
			key, _ := protobuf.MapEntry(f.Value)
			hash.Write(key)
		}
	}
	for f := range status.Fields() {
		if f.Key() == rawpod.StatusPhase {
			hash.Write(f.Whole)
		}
	}
	return hash.Sum64()
}

// readSpec reads the node and the policies in a valid spec.
func (d *decoder) readSpec(pod *Pod, spec protobuf.Message) {
	kept, node := rawpod.TrimSpec(slices.Grow(d.kept[:0], len(spec)), spec, true)
	pod.policies = d.policies.of(kept)
	d.kept, pod.node = kept, d.shared(node)
}

// The strings that a decoder keeps for the next pods.
const (
	maxStrings    = 4096
	longestString = 256
)

// shared returns a string that many pods have: a namespace or a node.
func (d *decoder) shared(b []byte) string {
	if s, ok := d.strings[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) > longestString {
		return s
	}
	if len(d.strings) == maxStrings {
		clear(d.strings)
	}
	d.strings[s] = s
	return s
}

// noPod is the last state of a pod that the receiver does not have.
var noPod = &Pod{}

func (d *decoder) lookup(uid []byte) Known {
	if d.known == nil || len(uid) == 0 {
		return Known{}
	}
	return d.known(uid)
}

// readMetadata reads the identity and validates managedFields. It copies the metadata without
// managedFields and the resource version into d.rest.
func (d *decoder) readMetadata(m protobuf.Message) (id rawpod.Identity, ok bool) {
	rest := d.rest[:0]
	from := m // the fields that are not copied yet
	for len(m) > 0 {
		at := m
		f, ok := m.Next()
		if !ok {
			return id, false
		}
		id.Read(f)
		switch key := f.Key(); {
		case key == rawpod.MetaManagedFields && !packing.MetadataShape().FitsField(f):
			return id, false
		case key == rawpod.MetaManagedFields, key == rawpod.MetaResourceVersion:
			rest = append(rest, from[:len(from)-len(at)]...)
			from = m
		}
	}
	d.rest = append(rest, from...)
	return id, true
}

// identify copies an identity. A new state of a known pod shares the strings of the last state, and
// the pods of a namespace share its string.
func (d *decoder) identify(id rawpod.Identity, known Identity) Identity {
	version := string(id.ResourceVersion)
	if known.Name == string(id.Name) && known.Namespace == string(id.Namespace) && known.UID == types.UID(id.UID) {
		known.ResourceVersion = version
		return known
	}
	both := string(id.Name) + string(id.UID) // in one allocation
	name, uid := both[:len(id.Name)], both[len(id.Name):]
	return Identity{Namespace: d.shared(id.Namespace), Name: name, UID: types.UID(uid), ResourceVersion: version}
}

// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"reflect"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
)

// An Identity has the names of a pod and the resource version of its state.
type Identity struct {
	Namespace, Name string
	UID             types.UID
	ResourceVersion string
}

// Key identifies the pod: its UID, or its namespace and name if it has no UID, as with client-go's
// fake clientset.
func (i Identity) Key() types.UID {
	if i.UID != "" {
		return i.UID
	}
	return types.UID(i.Namespace + "/" + i.Name)
}

// NamespacedName returns the names of the pod, for the log.
func (i Identity) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: i.Namespace, Name: i.Name}
}

// A Pod is one state of a pod, in its wire form or decoded by another decoder. It never changes,
// so any goroutine may use it.
type Pod struct {
	Identity

	// The parts of a pod in its wire form. The metadata lacks the resource version and
	// managedFields.
	metadata, spec, status packing.Part

	// The fields of an executor that were read from the metadata and the spec when they changed.
	created  metav1.Time
	deletion *metav1.Time
	node     string
	policies *policies

	// decoded is nil for a pod in its wire form. trimmed is true if decoded has been trimmed.
	decoded *corev1.Pod
	trimmed bool

	// partial is the label of a pod that its filter did not want, nil for any other.
	partial *label
}

// A label is one label of a pod.
type label struct{ key, value string }

// Of returns a Pod that keeps a decoded pod, without its managedFields. The caller must not change
// the pod any more.
func Of(pod *corev1.Pod) *Pod {
	if pod.ManagedFields != nil {
		without := *pod
		without.ManagedFields = nil
		pod = &without
	}
	return &Pod{
		Identity: Identity{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion},
		decoded:  pod,
	}
}

// OfAll returns a Pod for each decoded pod, as Of does.
func OfAll(pods []*corev1.Pod) []*Pod {
	all := make([]*Pod, len(pods))
	for i, pod := range pods {
		all[i] = Of(pod)
	}
	return all
}

// Part returns a pod that a filter did not want. Only its identity and one label are known.
func Part(id Identity, key, value string) *Pod {
	return &Pod{Identity: id, policies: noPolicies, partial: &label{key, value}}
}

// passOver makes p a pod in another shard. Only its namespace and its version are known.
func (p *Pod) passOver(namespace, version string) {
	*p = Pod{Identity: Identity{Namespace: namespace, ResourceVersion: version}, policies: noPolicies, partial: noLabel}
}

// noLabel is the label of a pod in another shard.
var noLabel = &label{}

// From returns an object as a Pod. ok is false if the object is not a pod.
func From(object runtime.Object) (*Pod, bool) {
	switch object := object.(type) {
	case *Pod:
		return object, object != nil
	case *corev1.Pod:
		if object != nil {
			return Of(object), true
		}
	}
	return nil, false
}

// IsPartial reports whether the decoder skipped the pod, because its filter did not want it. Such a
// pod has only a namespace, a name, a UID, a resource version and the label of the filter.
func (p *Pod) IsPartial() bool { return p.partial != nil }

// SameMetadata reports whether two Pods in their wire form have the same metadata but for their
// versions. They are then states of one pod. It may return false for equal metadata.
func (p *Pod) SameMetadata(other *Pod) bool {
	return p.metadata.Template != nil && p.metadata == other.metadata
}

// Equals reports whether another pod has the same contents, whatever its version.
func (p *Pod) Equals(other *Pod) bool {
	if p.decoded != nil || other.decoded != nil {
		return reflect.DeepEqual(p.decoded, other.decoded)
	}
	return p.metadata == other.metadata && p.spec == other.spec && p.status == other.status
}

// Label returns a label of the pod, and whether the pod has it.
func (p *Pod) Label(key string) (value string, ok bool) {
	switch {
	case p.decoded != nil:
		value, ok = p.decoded.Labels[key]
	case p.partial != nil:
		value, ok = p.partial.value, p.partial.key == key
	default:
		value, ok = p.entry(rawpod.MetaLabels, key)
	}
	return value, ok
}

// Annotation returns an annotation of the pod, and whether the pod has it. A partial pod has none.
func (p *Pod) Annotation(key string) (value string, ok bool) {
	if p.decoded != nil {
		value, ok = p.decoded.Annotations[key]
		return value, ok
	}
	return p.entry(rawpod.MetaAnnotations, key)
}

// usualMetadata is the size in bytes that most metadata does not exceed. Larger metadata is
// unpacked on the heap.
const usualMetadata = 2 << 10

// entry returns the value of a key in a map of the metadata.
func (p *Pod) entry(number int32, key string) (string, bool) {
	var memory [usualMetadata]byte
	value, ok := protobuf.EntryOf(p.metadata.AppendTo(memory[:0]), number, key)
	return string(value), ok
}

// Matches reports whether a selector selects the labels of the pod.
func (p *Pod) Matches(selector labels.Selector) bool {
	switch {
	case p.decoded != nil:
		return selector.Matches(labels.Set(p.decoded.Labels))
	case p.partial != nil:
		return selector.Matches(labels.Set{p.partial.key: p.partial.value})
	}
	wire := rawpod.Labels(p.metadata.AppendTo(make([]byte, 0, p.metadata.Size())))
	if reflect.TypeOf(selector) != ownSelector {
		return selector.Matches(wire.Set()) // a selector of the user may want a Set
	}
	return selector.Matches(wire)
}

// ownSelector is the type of apimachinery's selectors.
var ownSelector = reflect.TypeOf(labels.NewSelector())

// Metadata returns a copy of the metadata without managedFields.
func (p *Pod) Metadata() (*metav1.ObjectMeta, error) {
	if p.decoded != nil {
		return p.decoded.ObjectMeta.DeepCopy(), nil
	}
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	metadata := &metav1.ObjectMeta{}
	return metadata, metadata.Unmarshal(p.unpackMetadata(memory))
}

// Decode returns a copy of the pod that client-go has decoded. The caller may change it.
func (p *Pod) Decode() (*corev1.Pod, error) {
	if p.decoded != nil {
		return p.decoded.DeepCopy(), nil
	}
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	return p.unpack(memory).Decode()
}

// Decoded returns the pod that [Of] has received, or decodes a pod in its wire form. The caller
// must not change it.
func (p *Pod) Decoded() (*corev1.Pod, error) {
	if p.decoded != nil {
		return p.decoded, nil
	}
	return p.Decode()
}

// Trimmed returns the pod as Decoded does, but without the parts of the spec that tracking does not
// need.
func (p *Pod) Trimmed() (*corev1.Pod, error) {
	switch {
	case p.trimmed:
		return p.decoded, nil
	case p.decoded == nil:
		memory := scratches.Get().(*scratch)
		defer scratches.Put(memory)
		return p.unpack(memory).Trimmed().Decode()
	}
	wire, err := p.decoded.Spec.DeepCopy().Marshal() // a Quantity caches its text
	if err != nil {
		return nil, err
	}
	kept := *p.decoded
	kept.Spec = corev1.PodSpec{}
	return &kept, kept.Spec.Unmarshal(rawpod.Parts{Spec: wire}.Trimmed().Spec)
}

// scratch is memory into which the parts of a pod are unpacked.
type scratch [3][]byte

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// unpack returns the parts of the pod, which are valid until the memory is used again.
func (p *Pod) unpack(memory *scratch) rawpod.Parts {
	p.unpackMetadata(memory)
	memory[1], memory[2] = p.spec.AppendTo(memory[1][:0]), p.status.AppendTo(memory[2][:0])
	return rawpod.Parts{Metadata: memory[0], Spec: memory[1], Status: memory[2]}
}

// unpackMetadata returns the metadata of the pod with its version, as unpack does.
func (p *Pod) unpackMetadata(memory *scratch) []byte {
	metadata := p.metadata.AppendTo(memory[0][:0])
	if p.ResourceVersion != "" {
		metadata = protobuf.AppendBytes(metadata, rawpod.MetaResourceVersion, []byte(p.ResourceVersion))
	}
	memory[0] = metadata
	return metadata
}

// GetObjectKind implements [runtime.Object], so that client-go passes a Pod on to the caller.
func (p *Pod) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements [runtime.Object]. A Pod never changes, so it needs no copy.
func (p *Pod) DeepCopyObject() runtime.Object { return p }

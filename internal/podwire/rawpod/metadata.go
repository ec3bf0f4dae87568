// SPDX-License-Identifier: Apache-2.0

package rawpod

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// Fields of ObjectMeta.
const (
	MetaName              = 1
	MetaNamespace         = 3
	MetaUID               = 5
	MetaResourceVersion   = 6
	MetaCreationTimestamp = 8
	MetaDeletionTimestamp = 9
	MetaLabels            = 11
	MetaAnnotations       = 12
	MetaOwnerReferences   = 13
	MetaManagedFields     = 17
)

// Identity has the fields of the metadata that distinguish one state of a pod from all others.
type Identity struct{ Namespace, Name, UID, ResourceVersion []byte }

// Read reads a field of the metadata if it belongs to the identity.
func (i *Identity) Read(f protobuf.Field) {
	switch f.Key() {
	case MetaNamespace:
		i.Namespace = f.Value
	case MetaName:
		i.Name = f.Value
	case MetaUID:
		i.UID = f.Value
	case MetaResourceVersion:
		i.ResourceVersion = f.Value
	}
}

// Times returns the creation and the deletion timestamp in valid metadata.
func Times(m protobuf.Message) (created metav1.Time, deletion *metav1.Time) {
	var meta metav1.ObjectMeta
	for f := range m.Fields() {
		if key := f.Key(); key == MetaCreationTimestamp || key == MetaDeletionTimestamp {
			meta.Unmarshal(f.Whole)
		}
	}
	return meta.CreationTimestamp, meta.DeletionTimestamp
}

// Labels is valid metadata that implements [labels.Labels].
type Labels protobuf.Message

// Set returns the labels as a Set.
func (m Labels) Set() labels.Set {
	set := labels.Set{}
	for f := range protobuf.Message(m).Fields() {
		if f.Key() == MetaLabels {
			key, value := protobuf.MapEntry(f.Value)
			set[string(key)] = string(value)
		}
	}
	return set
}

// Lookup implements [labels.Labels], as the following methods do.
func (m Labels) Lookup(key string) (value string, ok bool) {
	wire, ok := protobuf.EntryOf(protobuf.Message(m), MetaLabels, key)
	return string(wire), ok
}

func (m Labels) Has(key string) bool {
	_, ok := protobuf.EntryOf(protobuf.Message(m), MetaLabels, key)
	return ok
}

func (m Labels) Get(key string) string {
	value, _ := m.Lookup(key)
	return value
}

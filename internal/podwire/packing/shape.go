// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"reflect"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// A Shape describes which wire types the generated code accepts for the fields of a message.
// A pod must match it. So damage is detected when the pod comes, as client-go detects it, and a pod
// that is kept can always be decoded.
type Shape struct {
	// fields are indexed by their numbers.
	fields []fieldSpec
	// unmarshal is nil unless the type has its own wire format.
	unmarshal func(protobuf.Message) error
}

// A fieldSpec has the expected wire type of a field.
type fieldSpec struct {
	known bool
	kind  int
	// shape is nil unless the field is a message.
	shape *Shape
}

// The shapes of the parts of a pod.
var (
	MetadataShape = sync.OnceValue(func() *Shape { return shapes{}.of(reflect.TypeFor[metav1.ObjectMeta]()) })
	SpecShape     = sync.OnceValue(func() *Shape { return shapes{}.of(reflect.TypeFor[corev1.PodSpec]()) })
	StatusShape   = sync.OnceValue(func() *Shape { return shapes{}.of(reflect.TypeFor[corev1.PodStatus]()) })
)

// Fits reports whether Unmarshal would accept the message. It may return false for unusual
// messages, which client-go then decodes.
func (s *Shape) Fits(m protobuf.Message) bool {
	if s.unmarshal != nil {
		return s.unmarshal(m) == nil
	}
	for len(m) > 0 {
		f, ok := m.Next()
		if !ok {
			return false
		}
		if !s.FitsField(f) {
			return false
		}
	}
	return true
}

// FitsField reports whether Unmarshal would accept the field.
func (s *Shape) FitsField(f protobuf.Field) bool {
	if int(f.Number) >= len(s.fields) || !s.fields[f.Number].known {
		return true // the field is from a newer API
	}
	part := &s.fields[f.Number]
	return part.kind == f.Kind && (part.shape == nil || part.shape.Fits(f.Value))
}

// message returns the shape of a field that is a message, and nil for any other. It is nil too
// for messages with their own wire format.
func (s *Shape) message(f protobuf.Field) *Shape {
	if f.Kind != protobuf.BytesKind || int(f.Number) >= len(s.fields) {
		return nil
	}
	part := s.fields[f.Number].shape
	if part == nil || part.unmarshal != nil {
		return nil
	}
	return part
}

// fieldsRaw is the only field of FieldsV1.
const FieldsRaw = 1

// shapes are derived from the Go types and the field numbers in their tags. The wire types in
// the tags are not always those that the generated code accepts.
type shapes map[reflect.Type]*Shape

func (made shapes) of(t reflect.Type) *Shape {
	if t == reflect.TypeFor[metav1.Time]() {
		t = reflect.TypeFor[metav1.Timestamp]() // the form on the wire
	}
	if s, ok := made[t]; ok {
		return s
	}
	s := new(Shape)
	made[t] = s
	for field := range t.Fields() {
		tag := strings.Split(field.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue // not on the wire
		}
		if number, err := strconv.Atoi(tag[1]); err == nil {
			s.put(number, made.fieldSpec(field.Type))
		}
	}
	if t == reflect.TypeFor[metav1.FieldsV1]() {
		s.put(FieldsRaw, fieldSpec{known: true, kind: protobuf.BytesKind}) // without a tag from client-go 0.38 on
	}
	if t == reflect.TypeFor[resource.Quantity]() {
		s.unmarshal = func(m protobuf.Message) error { return new(resource.Quantity).Unmarshal(m) }
	}
	return s
}

func (made shapes) fieldSpec(t reflect.Type) fieldSpec {
	switch t.Kind() {
	case reflect.Bool, reflect.Int32, reflect.Int64:
		return fieldSpec{known: true, kind: protobuf.VarintKind}
	case reflect.Pointer:
		return made.fieldSpec(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return fieldSpec{known: true, kind: protobuf.BytesKind}
		}
		return made.fieldSpec(t.Elem())
	case reflect.Struct:
		return fieldSpec{known: true, kind: protobuf.BytesKind, shape: made.of(t)}
	case reflect.Map:
		entry := new(Shape)
		entry.put(protobuf.MapKey, made.fieldSpec(t.Key()))
		entry.put(protobuf.MapValue, made.fieldSpec(t.Elem()))
		return fieldSpec{known: true, kind: protobuf.BytesKind, shape: entry}
	default:
		return fieldSpec{known: true, kind: protobuf.BytesKind}
	}
}

func (s *Shape) put(number int, p fieldSpec) {
	for len(s.fields) <= number {
		s.fields = append(s.fields, fieldSpec{})
	}
	s.fields[number] = p
}

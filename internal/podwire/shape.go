// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"reflect"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shape is what the generated code asks of the fields of a message. What is
// passed over has to fit it, so that damage is noticed there too: client-go
// would fail, and so must we.
type shape struct {
	fields    []part              // by number
	unmarshal func(message) error // of a type that is not read as its fields are
}

// part is what a field has to be.
type part struct {
	known bool
	kind  int
	shape *shape // nil if it is no message
}

// The messages that are passed over.
var (
	specShape    = sync.OnceValue(func() *shape { return shapes{}.of(reflect.TypeFor[corev1.PodSpec]()) })
	managedShape = sync.OnceValue(func() *shape { return shapes{}.of(reflect.TypeFor[metav1.ManagedFieldsEntry]()) })
)

// fits reports whether Unmarshal would take the message. It may say no to what
// is merely unusual: client-go decides then.
func (s *shape) fits(m message) bool {
	if s.unmarshal != nil {
		return s.unmarshal(m) == nil
	}
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		if int(f.number) >= len(s.fields) || !s.fields[f.number].known {
			continue // of a newer API
		}
		part := &s.fields[f.number]
		if part.kind != f.kind || part.shape != nil && !part.shape.fits(f.value) {
			return false
		}
	}
	return true
}

// shapes are derived from the Go types, and the numbers in their tags. The kinds
// in the tags are not always those that the generated code asks for.
type shapes map[reflect.Type]*shape

func (made shapes) of(t reflect.Type) *shape {
	if t == reflect.TypeFor[metav1.Time]() {
		t = reflect.TypeFor[metav1.Timestamp]() // as it is on the wire
	}
	if s, ok := made[t]; ok {
		return s
	}
	s := new(shape)
	made[t] = s
	for field := range t.Fields() {
		tag := strings.Split(field.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue // not on the wire
		}
		if number, err := strconv.Atoi(tag[1]); err == nil {
			s.put(number, made.part(field.Type))
		}
	}
	if t == reflect.TypeFor[resource.Quantity]() {
		s.unmarshal = func(m message) error { return new(resource.Quantity).Unmarshal(m) }
	}
	return s
}

func (made shapes) part(t reflect.Type) part {
	switch t.Kind() {
	case reflect.Bool, reflect.Int32, reflect.Int64:
		return part{known: true, kind: varintKind}
	case reflect.Pointer:
		return made.part(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return part{known: true, kind: bytesKind}
		}
		return made.part(t.Elem())
	case reflect.Struct:
		return part{known: true, kind: bytesKind, shape: made.of(t)}
	case reflect.Map:
		entry := new(shape)
		entry.put(mapKey, made.part(t.Key()))
		entry.put(mapValue, made.part(t.Elem()))
		return part{known: true, kind: bytesKind, shape: entry}
	default:
		return part{known: true, kind: bytesKind}
	}
}

func (s *shape) put(number int, p part) {
	for len(s.fields) <= number {
		s.fields = append(s.fields, part{})
	}
	s.fields[number] = p
}

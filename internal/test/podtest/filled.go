// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Filled returns a pod that has something in about half of all its fields. Its texts are not
// always UTF-8, and it has values that Kubernetes does not define. Pods of one seed are equal.
func Filled(seed uint64) *corev1.Pod { return filledBy(filler{random: newRandom(seed)}) }

// FilledForJSON returns a pod like Filled, with values that are the same after they were
// encoded as JSON. It has no managedFields.
func FilledForJSON(seed uint64) *corev1.Pod {
	pod := filledBy(filler{random: newRandom(seed), forJSON: true})
	pod.ManagedFields = nil
	return pod
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func filledBy(f filler) *corev1.Pod {
	pod := new(corev1.Pod)
	for _, part := range []any{&pod.ObjectMeta, &pod.Spec, &pod.Status} {
		f.fill(reflect.ValueOf(part).Elem())
	}
	return pod
}

// A filler gives random values to fields.
type filler struct {
	random  *rand.Rand
	forJSON bool
}

func (f filler) fill(v reflect.Value) {
	if !f.fillKnown(v.Addr().Interface()) {
		f.fillKind(v)
	}
}

// fillKnown fills a value of a type that has rules. It reports false for other types.
func (f filler) fillKnown(value any) bool {
	switch value := value.(type) {
	case *metav1.Time:
		*value = metav1.Unix(f.random.Int64N(1<<32), 0)
	case *resource.Quantity:
		*value = *resource.NewMilliQuantity(f.random.Int64N(1<<32), resource.DecimalSI)
	case *time.Duration:
		*value = time.Duration(f.random.Int64())
	case *metav1.FieldsV1: // its field is not exported from client-go 0.38 on
		f.fillFields(value)
	case *intstr.IntOrString:
		if !f.forJSON {
			return false
		}
		*value = intstr.FromInt32(f.random.Int32())
	default:
		return false
	}
	return true
}

// fillFields sets the only field of FieldsV1, number 1, to some bytes.
func (f filler) fillFields(value *metav1.FieldsV1) {
	const tag = 1<<3 | 2
	encoded := []byte{tag, 0}
	for range f.random.IntN(4) {
		encoded = append(encoded, byte(f.random.Uint32()))
		encoded[1]++
	}
	if err := value.Unmarshal(encoded); err != nil {
		panic(err)
	}
}

func (f filler) fillKind(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			if f.random.IntN(2) == 0 {
				f.fill(field)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), f.random.IntN(4), 4))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		f.fillMap(v)
	case reflect.String:
		v.SetString(f.text())
	case reflect.Bool:
		v.SetBool(f.random.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(f.random.Uint64N(256))
	case reflect.Int32, reflect.Int64:
		v.SetInt(f.random.Int64() >> f.random.IntN(64))
	default:
		panic("a pod has a " + v.Type().String())
	}
}

func (f filler) fillMap(v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for range f.random.IntN(4) {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key)
		f.fill(value)
		v.SetMapIndex(key, value)
	}
}

// text is short or long, often the same, and not always UTF-8.
func (f filler) text() string {
	switch f.random.IntN(8) {
	case 0:
		return ""
	case 1:
		return strings.Repeat("x", 255+f.random.IntN(3))
	case 2:
		odd := "\xff" + string(rune(f.random.IntN(0x3000)))
		if f.forJSON {
			odd = strings.ToValidUTF8(odd, "?")
		}
		return odd
	default:
		return string(rune('a' + f.random.IntN(26)))
	}
}

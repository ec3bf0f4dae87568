// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// filled returns a pod that has something in about half of all its fields.
func filled(seed uint64) *corev1.Pod {
	r := rand.New(rand.NewPCG(seed, 0))
	pod := new(corev1.Pod)
	for _, part := range []any{&pod.ObjectMeta, &pod.Spec, &pod.Status} {
		fill(reflect.ValueOf(part).Elem(), r)
	}
	return pod
}

func fill(v reflect.Value, r *rand.Rand) {
	switch value := v.Addr().Interface().(type) {
	case *metav1.Time:
		*value = metav1.Unix(r.Int64N(1<<32), 0)
		return
	case *resource.Quantity:
		*value = *resource.NewMilliQuantity(r.Int64N(1<<32), resource.DecimalSI)
		return
	case *time.Duration:
		*value = time.Duration(r.Int64())
		return
	case *metav1.FieldsV1: // its field is not exported from client-go 0.38 on
		raw := []byte{fieldsRaw<<3 | bytesKind, 0}
		for range r.IntN(4) {
			raw = append(raw, byte(r.Uint32()))
			raw[1]++
		}
		if err := value.Unmarshal(raw); err != nil {
			panic(err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			if r.IntN(2) == 0 {
				fill(field, r)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(4) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, r)
			fill(value, r)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		v.SetString(text(r))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(r.Uint64N(256))
	case reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64() >> r.IntN(64))
	default:
		panic("a pod has a " + v.Type().String())
	}
}

// text is short or long, often the same, and not always UTF-8.
func text(r *rand.Rand) string {
	switch r.IntN(8) {
	case 0:
		return ""
	case 1:
		return strings.Repeat("x", longestString-1+r.IntN(3))
	case 2:
		return "\xff" + string(rune(r.IntN(0x3000)))
	default:
		return string(rune('a' + r.IntN(26)))
	}
}

// damaged changes a message, some levels down, as the script says: into messages of a
// newer server, of a broken server, and of no server at all.
func damaged(m message, script []byte) []byte {
	fields := split(m)
	if len(script) < 3 || len(fields) == 0 {
		return m
	}
	of, how, more := int(script[0])%len(fields), script[1], int(script[2])
	f := fields[of]
	at := 0
	for _, before := range fields[:of] {
		at += len(before.whole)
	}
	before, after := m[:at:at], m[at+len(f.whole):]
	deeper := f.kind == bytesKind && len(f.value) > 0
	switch how % 8 {
	case 0: // a field twice, the second time elsewhere
		return append(append(before, m[at:]...), f.whole...)
	case 1: // at the end
		return append(append(before, after...), f.whole...)
	case 2: // not at all
		return append(before, after...)
	case 3: // an unknown field, of any wire type
		unknown := binary.AppendUvarint(append(before, m[at:]...), uint64(1000<<3|more%8))
		return append(unknown, 7, 'u', 'n', 'k', 'n', 'o', 'w', 'n')
	case 4: // cut short
		return m[:len(m)*more/256]
	case 5: // a length beyond any bound
		tag := binary.AppendUvarint(before, uint64(f.number)<<3|bytesKind)
		return append(binary.AppendUvarint(tag, math.MaxUint64>>(more%64)), f.value...)
	case 6: // a wrong byte
		out := append(before, m[at:]...)
		out[at+more%len(f.whole)] ^= script[0] | 1
		return out
	default:
		if !deeper {
			return m
		}
		value := damaged(f.value, script[3:])
		out := binary.AppendUvarint(before, uint64(f.number)<<3|bytesKind)
		out = append(binary.AppendUvarint(out, uint64(len(value))), value...)
		return append(out, after...)
	}
}

// split returns the fields that a message begins with.
func split(m message) []field {
	var fields []field
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			break
		}
		fields = append(fields, f)
	}
	return fields
}

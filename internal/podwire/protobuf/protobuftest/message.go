// SPDX-License-Identifier: Apache-2.0

// Package protobuftest makes messages that no API server sends.
package protobuftest

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// Damaged changes a message, some levels down, as the script says: into messages of a
// newer server, of a broken server, and of no server at all.
func Damaged(m protobuf.Message, script []byte) []byte {
	fields := split(m)
	if len(script) < 3 || len(fields) == 0 {
		return m
	}
	of, how, more := int(script[0])%len(fields), script[1], int(script[2])
	f := fields[of]
	at := 0
	for _, before := range fields[:of] {
		at += len(before.Whole)
	}
	before, after := m[:at:at], m[at+len(f.Whole):]
	deeper := f.Kind == protobuf.BytesKind && len(f.Value) > 0
	switch how % 8 {
	case 0: // a field twice, the second time elsewhere
		return append(append(before, m[at:]...), f.Whole...)
	case 1: // at the end
		return append(append(before, after...), f.Whole...)
	case 2: // not at all
		return append(before, after...)
	case 3: // an unknown field, of any wire type
		unknown := binary.AppendUvarint(append(before, m[at:]...), uint64(1000<<3|more%8))
		return append(unknown, 7, 'u', 'n', 'k', 'n', 'o', 'w', 'n')
	case 4: // cut short
		return m[:len(m)*more/256]
	case 5: // a length beyond any bound
		tag := binary.AppendUvarint(before, uint64(f.Number)<<3|protobuf.BytesKind)
		return append(binary.AppendUvarint(tag, math.MaxUint64>>(more%64)), f.Value...)
	case 6: // a wrong byte
		out := append(before, m[at:]...)
		out[at+more%len(f.Whole)] ^= script[0] | 1
		return out
	default:
		if !deeper {
			return m
		}
		value := Damaged(f.Value, script[3:])
		out := binary.AppendUvarint(before, uint64(f.Number)<<3|protobuf.BytesKind)
		out = append(binary.AppendUvarint(out, uint64(len(value))), value...)
		return append(out, after...)
	}
}

// split returns the fields that a message begins with.
func split(m protobuf.Message) []protobuf.Field {
	var fields []protobuf.Field
	for len(m) > 0 {
		f, ok := m.Next()
		if !ok {
			break
		}
		fields = append(fields, f)
	}
	return fields
}

// Within puts a message into fields, the outermost first.
func Within(m []byte, path ...int) []byte {
	for _, number := range slices.Backward(path) {
		head := binary.AppendUvarint(nil, uint64(number)<<3|protobuf.BytesKind)
		m = append(binary.AppendUvarint(head, uint64(len(m))), m...)
	}
	return m
}

// Alternating returns fields of two kinds in turn.
func Alternating(n int, a, b []byte) []byte {
	return bytes.Repeat(slices.Concat(a, b), n/2)
}

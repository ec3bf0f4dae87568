// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"encoding/binary"
	"iter"
)

// Wire types of fields (https://protobuf.dev/programming-guides/encoding). client-go
// decodes messages with groups, which are the other two types.
const (
	varintKind  = 0
	fixed64Kind = 1
	bytesKind   = 2
	fixed32Kind = 5
)

// A field is one field of a protobuf message. Its slices are parts of the message.
type field struct {
	number int32
	kind   int
	value  []byte // the value of a field of bytesKind, nil for other kinds
	whole  []byte // the value with its tag and length, which is a message of one field
}

// key returns the number of a length-delimited field and 0 for any other field. The
// generated code decodes those.
func (f field) key() int32 {
	if f.kind != bytesKind {
		return 0
	}
	return f.number
}

// head returns the tag of a field and its length, or the whole field if it has no length.
func (f field) head() []byte { return f.whole[:len(f.whole)-len(f.value)] }

// A message is the unread rest of a protobuf message.
type message []byte

// next removes the first field and returns it. ok is false if the field is cut short or
// unusual.
func (m *message) next() (field, bool) {
	b := []byte(*m)
	if len(b) > 1 && b[0] >= 8 && b[0] < 0x80 && b[1] < 0x80 {
		// Most fields are short and have a number below 16.
		switch b[0] & 7 {
		case bytesKind:
			end := 2 + int(b[1])
			if end > len(b) {
				return field{}, false
			}
			*m = b[end:]
			return field{number: int32(b[0] >> 3), kind: bytesKind, value: b[2:end], whole: b[:end]}, true
		case varintKind:
			*m = b[2:]
			return field{number: int32(b[0] >> 3), kind: varintKind, whole: b[:2]}, true
		}
	}
	return m.nextOfAny()
}

// nextOfAny does the same as next, for all wire types, numbers and lengths.
func (m *message) nextOfAny() (field, bool) {
	b := []byte(*m)
	tag, n := varint(b)
	if n == 0 {
		return field{}, false
	}
	// The number is cut to 32 bits as the generated code does.
	f := field{number: int32(tag >> 3), kind: int(tag & 7)}
	end := uint64(n)
	switch f.kind {
	case varintKind:
		_, size := varint(b[n:])
		if size == 0 {
			return field{}, false
		}
		end += uint64(size)
	case fixed64Kind:
		end += 8
	case fixed32Kind:
		end += 4
	case bytesKind:
		length, size := varint(b[n:])
		if size == 0 || length > uint64(len(b)) {
			return field{}, false
		}
		n += size
		end = uint64(n) + length
	default:
		return field{}, false
	}
	if end > uint64(len(b)) || f.number <= 0 {
		return field{}, false
	}
	if f.kind == bytesKind {
		f.value = b[n:end]
	}
	f.whole, *m = b[:end], b[end:]
	return f, true
}

// fields yields the fields up to the end, or up to the first that is damaged.
func (m message) fields() iter.Seq[field] {
	return func(yield func(field) bool) {
		for len(m) > 0 {
			f, ok := m.next()
			if !ok || !yield(f) {
				return
			}
		}
	}
}

// appendBytes appends a length-delimited field.
func appendBytes(to message, number int32, value []byte) message {
	return append(appendHead(to, number, len(value)), value...)
}

// appendHead appends the tag of a length-delimited field, and its length.
func appendHead(to message, number int32, length int) message {
	to = binary.AppendUvarint(to, uint64(number)<<3|bytesKind)
	return binary.AppendUvarint(to, uint64(length))
}

// varint returns a number and its size in bytes. The size is 0 if the number is cut short
// or longer than ten bytes.
func varint(b []byte) (value uint64, size int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		return uint64(b[0]&0x7f) | uint64(b[1])<<7, 2
	}
	for i, c := range b[:min(len(b), 10)] {
		value |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return value, i + 1
		}
	}
	return 0, 0
}

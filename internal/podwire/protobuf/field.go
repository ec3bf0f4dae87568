// SPDX-License-Identifier: Apache-2.0

// Package protobuf reads and writes the fields of messages without decoding them. A field that it
// returns is a part of its message. It refuses fields that are cut short, and what the generated code
// of client-go treats in its own way: groups and field numbers out of range.
package protobuf

import (
	"encoding/binary"
	"iter"
)

// Wire types of fields (https://protobuf.dev/programming-guides/encoding). client-go
// decodes messages with groups, which are the other two types.
const (
	VarintKind  = 0
	Fixed64Kind = 1
	BytesKind   = 2
	Fixed32Kind = 5
)

// A Field is one field of a protobuf message. Its slices are parts of the message.
type Field struct {
	Number int32
	Kind   int
	// Value is nil unless the field is length-delimited.
	Value []byte
	// Whole is the value with its tag and length. It is a message of one field.
	Whole []byte
}

// Key returns the number of a length-delimited field and 0 for any other field. The
// generated code decodes those.
func (f Field) Key() int32 {
	if f.Kind != BytesKind {
		return 0
	}
	return f.Number
}

// Head returns the tag of a field and its length, or the whole field if it has no length.
func (f Field) Head() []byte { return f.Whole[:len(f.Whole)-len(f.Value)] }

// A Message is the unread rest of a protobuf message.
type Message []byte

// Next removes the first field and returns it. ok is false if the field is cut short or
// unusual.
func (m *Message) Next() (Field, bool) {
	b := []byte(*m)
	if len(b) > 1 && b[0] >= 8 && b[0] < 0x80 && b[1] < 0x80 {
		// Most fields are short and have a number below 16.
		switch b[0] & 7 {
		case BytesKind:
			end := 2 + int(b[1])
			if end > len(b) {
				return Field{}, false
			}
			*m = b[end:]
			return Field{Number: int32(b[0] >> 3), Kind: BytesKind, Value: b[2:end], Whole: b[:end]}, true
		case VarintKind:
			*m = b[2:]
			return Field{Number: int32(b[0] >> 3), Kind: VarintKind, Whole: b[:2]}, true
		}
	}
	return m.nextOfAny()
}

// nextOfAny does the same as next, for all wire types, numbers and lengths.
func (m *Message) nextOfAny() (Field, bool) {
	b := []byte(*m)
	tag, n := varint(b)
	if n == 0 {
		return Field{}, false
	}
	// The number is cut to 32 bits as the generated code does.
	f := Field{Number: int32(tag >> 3), Kind: int(tag & 7)}
	end := uint64(n)
	switch f.Kind {
	case VarintKind:
		_, size := varint(b[n:])
		if size == 0 {
			return Field{}, false
		}
		end += uint64(size)
	case Fixed64Kind:
		end += 8
	case Fixed32Kind:
		end += 4
	case BytesKind:
		length, size := varint(b[n:])
		if size == 0 || length > uint64(len(b)) {
			return Field{}, false
		}
		n += size
		end = uint64(n) + length
	default:
		return Field{}, false
	}
	if end > uint64(len(b)) || f.Number <= 0 {
		return Field{}, false
	}
	if f.Kind == BytesKind {
		f.Value = b[n:end]
	}
	f.Whole, *m = b[:end], b[end:]
	return f, true
}

// Fields yields the Fields up to the end, or up to the first that is damaged.
func (m Message) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(m) > 0 {
			f, ok := m.Next()
			if !ok || !yield(f) {
				return
			}
		}
	}
}

// AppendBytes appends a length-delimited field.
func AppendBytes(to Message, number int32, value []byte) Message {
	return append(AppendHead(to, number, len(value)), value...)
}

// AppendHead appends the tag of a length-delimited field, and its length.
func AppendHead(to Message, number int32, length int) Message {
	to = binary.AppendUvarint(to, uint64(number)<<3|BytesKind)
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

// StringLike returns the bytes as a string. It returns known if that is equal.
func StringLike(known string, b []byte) string {
	if known == string(b) {
		return known
	}
	return string(b)
}

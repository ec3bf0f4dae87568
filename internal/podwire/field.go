// SPDX-License-Identifier: Apache-2.0

package podwire

// Wire types of fields (https://protobuf.dev/programming-guides/encoding). client-go
// decodes messages with groups, which are the other two types.
const (
	varintKind  = 0
	fixed64Kind = 1
	bytesKind   = 2
	fixed32Kind = 5
)

// field is one field of a protobuf message. Its slices are parts of the message.
type field struct {
	number int32
	kind   int
	value  []byte // of a field of bytesKind; nil for the others
	whole  []byte // with its tag and length, which is a message
}

// key returns the number of a length-delimited field and 0 for any other field. The
// generated code decodes those.
func (f field) key() int32 {
	if f.kind != bytesKind {
		return 0
	}
	return f.number
}

// message is the unread rest of a protobuf message.
type message []byte

// next removes the first field and returns it. ok is false if the field is cut short or
// unusual.
func (m *message) next() (field, bool) {
	b := []byte(*m)
	if len(b) > 1 && b[0] >= 8 && b[0] < 0x80 && b[0]&7 == bytesKind && b[1] < 0x80 {
		// By far the most are short and have a number below 16.
		if end := 2 + int(b[1]); end <= len(b) {
			*m = b[end:]
			return field{number: int32(b[0] >> 3), kind: bytesKind, value: b[2:end], whole: b[:end]}, true
		}
		return field{}, false
	}
	return m.nextOfAny()
}

// nextOfAny is next for fields of all wire types, numbers and lengths.
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

// varint returns a number and its size in bytes. The size is 0 if the number is cut short
// or longer than ten bytes.
func varint(b []byte) (value uint64, size int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i, c := range b[:min(len(b), 10)] {
		value |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return value, i + 1
		}
	}
	return 0, 0
}

// mostExpected bounds the allocation that a count of fields causes before they are decoded.
const mostExpected = 64

// while splits a message before the first field that belongs rejects, or that is damaged.
func (m message) while(belongs func(field) bool) (head, tail message) {
	tail = m
	for len(tail) > 0 {
		after := tail
		if f, ok := after.next(); !ok || !belongs(f) {
			break
		}
		tail = after
	}
	return m[:len(m)-len(tail)], tail
}

// run splits a message after the consecutive fields with a number.
func (m message) run(number int32) (run, rest message) {
	return m.while(func(f field) bool { return f.key() == number })
}

// before splits a message before the first field with a number, or a higher one.
func (m message) before(number int32) (head, tail message) {
	return m.while(func(f field) bool { return f.number < number })
}

// span is the range of consecutive fields with one number.
type span struct{ from, to, fields int }

// extend adds a field at an offset. ok is false if the field does not follow the span.
func (s *span) extend(at int, f field) (ok bool) {
	if s.fields == 0 {
		s.from, s.to = at, at
	}
	ok = s.to == at
	s.to += len(f.whole)
	s.fields++
	return ok
}

func (s span) of(m message) message { return m[s.from:s.to] }

// count returns the number of fields of a message that was validated before.
func (m message) count() int {
	n := 0
	for len(m) > 0 {
		if _, ok := m.next(); !ok {
			break
		}
		n++
	}
	return n
}

// SPDX-License-Identifier: Apache-2.0

package podwire

// Kinds of fields, as https://protobuf.dev/programming-guides/encoding numbers
// them. Groups, the other two, are left to client-go.
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
	whole  []byte // with its tag and length: a message of its own
}

// key is the number of a field with a value: a string, bytes or a message. What
// the pods' fields of another kind are worth is left to the generated code.
func (f field) key() int32 {
	if f.kind != bytesKind {
		return 0
	}
	return f.number
}

// message is what is left of a protobuf message that is being read.
type message []byte

// next takes the first field. It is not ok if that is cut short or unusual.
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

// nextOfAny is next for fields of all kinds, numbers and lengths.
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

// varint returns a number and the bytes that it takes, 0 if it is cut short or
// longer than any in use: lengths, tags, seconds, and negative numbers.
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

// mostExpected bounds what is allocated on the word of a message about how much
// there is to come.
const mostExpected = 64

// while splits a message before the first field that does not belong, or is
// damaged.
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

// run splits a message after the fields of the number that it begins with: what
// is repeated stands together. Whatever is no such field is in the rest.
func (m message) run(number int32) (run, rest message) {
	return m.while(func(f field) bool { return f.key() == number })
}

// before splits a message before the first field with a number, or a higher one.
func (m message) before(number int32) (head, tail message) {
	return m.while(func(f field) bool { return f.number < number })
}

// span is where in a message the fields of one number stand, if together.
type span struct{ from, to, fields int }

// extend takes in a field at an offset. It is not ok if others stand in between.
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

// count returns how many fields there are, of a message that was read before.
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

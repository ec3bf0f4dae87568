// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"bytes"
	"encoding/binary"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// shortRun is the largest number of equal bytes between two differences that the delta repeats.
// To repeat them needs no more bytes than another operation.
const shortRun = 3

// A deltaWriter compares a message with a template field by field, and writes the delta of a
// packed part.
type deltaWriter struct {
	template []byte
	// at is the position in the template.
	at int

	// delta has the complete operations. The comparison ends when it is longer than limit.
	delta []byte
	limit int

	// The current operation, and the number of equal bytes after it.
	keep, drop int
	add        []byte
	equal      int
}

// write returns the delta that turns the template into a message. The delta is valid until the
// next call. short is false if the delta would be longer than limit, and the delta is then
// incomplete. ok is false if the message does not have the shape.
func (w *deltaWriter) write(template []byte, m protobuf.Message, s *Shape, limit int) (delta []byte, short, ok bool) {
	w.template, w.at, w.limit = template, 0, limit
	w.delta, w.keep, w.drop, w.add, w.equal = w.delta[:0], 0, 0, w.add[:0], 0
	if !w.compare(template, m, s) {
		return nil, false, false
	}
	w.finish()
	return w.delta, !w.isLong(), true
}

func (w *deltaWriter) isLong() bool { return len(w.delta)+len(w.add) > w.limit }

// compare compares a message with the corresponding part of the template, and checks the shape of
// the fields that differ. The template is valid, so a field that is in both is valid too. compare
// returns false if the message does not have the shape.
func (w *deltaWriter) compare(from, m protobuf.Message, s *Shape) bool {
	for !w.isLong() {
		n := equalFields(from, m)
		w.same(n)
		if from, m = from[n:], m[n:]; len(m) == 0 {
			w.skip(len(from))
			return true
		}
		rest := m
		f, ok := rest.Next()
		if !ok {
			return false
		}
		from = w.dropUntil(from, f.Number)
		after := from
		before, _ := after.Next()
		switch {
		case bytes.Equal(before.Whole, f.Whole): // after fields that were dropped
		case before.Number != f.Number || bytes.HasPrefix(rest, before.Whole): // f was inserted
			if !s.FitsField(f) {
				return false
			}
			w.put(f.Whole)
			m = rest
		case bytes.HasPrefix(after, f.Whole): // before was removed
			w.skip(len(before.Whole))
			from = after
		case !w.replaceField(before, f, s):
			return false
		default:
			from, m = after, rest
		}
	}
	return s.Fits(m)
}

// equalFields returns the length of the complete fields with which both messages begin.
func equalFields(a, b protobuf.Message) (n int) {
	equal := commonPrefix(a, b)
	for rest := b; n < equal; n = len(b) - len(rest) {
		if _, ok := rest.Next(); !ok || len(b)-len(rest) > equal {
			break
		}
	}
	return n
}

// commonPrefix returns the length of the longest common prefix of a and b.
func commonPrefix(a, b []byte) (n int) {
	for len(a)-n >= 8 && len(b)-n >= 8 && binary.LittleEndian.Uint64(a[n:]) == binary.LittleEndian.Uint64(b[n:]) {
		n += 8
	}
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// dropUntil drops the first fields of the template, up to one whose number is not below number. It
// returns the rest of the template.
func (w *deltaWriter) dropUntil(from protobuf.Message, number int32) protobuf.Message {
	for len(from) > 0 {
		rest := from
		if f, _ := rest.Next(); f.Number >= number {
			break
		}
		w.skip(len(from) - len(rest))
		from = rest
	}
	return from
}

// replaceField writes a field in place of another field with the same number. It returns false if
// the field does not have the shape.
func (w *deltaWriter) replaceField(before, f protobuf.Field, s *Shape) bool {
	part := s.message(f)
	if part == nil && !s.FitsField(f) {
		return false
	}
	w.replace(before.Head(), f.Head())
	if part != nil {
		return w.compare(before.Value, f.Value, part)
	}
	w.replace(before.Value, f.Value)
	return true
}

// replace writes bytes in place of others. It leaves out the bytes with which both begin and end.
func (w *deltaWriter) replace(before, now []byte) {
	begin := commonPrefix(before, now)
	end := 0
	for end < min(len(before), len(now))-begin && before[len(before)-1-end] == now[len(now)-1-end] {
		end++
	}
	w.same(begin)
	w.skip(len(before) - begin - end)
	w.put(now[begin : len(now)-end])
	w.same(end)
}

// same moves over n bytes of the template that are also in the message.
func (w *deltaWriter) same(n int) {
	w.at += n
	if w.drop == 0 && len(w.add) == 0 {
		w.keep += n
		return
	}
	if w.equal += n; w.equal > shortRun {
		equal := w.equal
		w.finish()
		w.keep = equal
	}
}

// skip moves over n bytes of the template that are not in the message.
func (w *deltaWriter) skip(n int) {
	if n > 0 {
		w.addEqual()
		w.at += n
		w.drop += n
	}
}

// put adds bytes that are not in the template.
func (w *deltaWriter) put(b []byte) {
	if len(b) > 0 {
		w.addEqual()
		w.add = append(w.add, b...)
	}
}

// addEqual makes the equal bytes since the current operation a part of it.
func (w *deltaWriter) addEqual() {
	w.add = append(w.add, w.template[w.at-w.equal:w.at]...)
	w.drop += w.equal
	w.equal = 0
}

// finish writes the current operation into the delta, if there is one.
func (w *deltaWriter) finish() {
	if w.drop == 0 && len(w.add) == 0 {
		return
	}
	w.delta = binary.AppendUvarint(w.delta, uint64(w.keep))
	w.delta = binary.AppendUvarint(w.delta, uint64(w.drop))
	w.delta = binary.AppendUvarint(w.delta, uint64(len(w.add)))
	w.delta = append(w.delta, w.add...)
	w.keep, w.drop, w.add, w.equal = 0, 0, w.add[:0], 0
}

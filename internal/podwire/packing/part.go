// SPDX-License-Identifier: Apache-2.0

// Package packing keeps the parts of nearly equal pods as differences from templates.
//
// A [Packer] makes a [Part] of a message: a template, which is the same part of some pod, and a
// delta. It finds a similar template, or lets the message become one. A [Shape] says what the
// generated code accepts. A message is checked against its shape when it is packed, so that a Part
// can always be unpacked and decoded. A field that equals the one in the template is not checked
// again.
package packing

import (
	"bytes"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// A Part is a part of a pod: its metadata, spec or status. Where the part equals its template,
// only the template has the bytes. The zero value is an empty part.
type Part struct {
	// Template is nil for an empty part.
	Template *Template
	// Delta turns the template into the part. It has operations of three varints and some bytes:
	// keep so many bytes of the template, drop so many, and add the bytes, whose number is the
	// third. The rest of the template follows after the last operation.
	Delta string
}

// A Template is a part of some pod, in its wire form. It is valid and never changes.
type Template struct{ Wire []byte }

// isFor reports whether the template is not much longer than a part, so that a small part does not
// keep the template of a large one.
func (t *Template) isFor(m protobuf.Message) bool { return len(t.Wire) <= 2*len(m)+256 }

// AppendTo appends the part in its wire form.
func (p Part) AppendTo(wire []byte) []byte {
	if p.Template == nil {
		return wire
	}
	rest := p.Template.Wire
	for delta := p.Delta; delta != ""; {
		var op operation
		op, delta = cutOperation(delta)
		wire = append(wire, rest[:op.keep]...)
		wire = append(wire, op.add...)
		rest = rest[op.keep+op.drop:]
	}
	return append(wire, rest...)
}

// Size returns a size that the wire form of the part does not exceed.
func (p Part) Size() int {
	if p.Template == nil {
		return 0
	}
	return len(p.Template.Wire) + len(p.Delta)
}

// Equals reports whether m is the part in its wire form.
func (p Part) Equals(m protobuf.Message) bool {
	if p.Template == nil {
		return len(m) == 0
	}
	rest := p.Template.Wire
	for delta := p.Delta; delta != ""; {
		var op operation
		op, delta = cutOperation(delta)
		end := op.keep + len(op.add)
		if len(m) < end || !bytes.Equal(m[:op.keep], rest[:op.keep]) || string(m[op.keep:end]) != op.add {
			return false
		}
		rest, m = rest[op.keep+op.drop:], m[end:]
	}
	return bytes.Equal(m, rest)
}

// An operation keeps some bytes of a template, drops the next ones, and adds others.
type operation struct {
	keep, drop int
	add        string
}

// cutOperation removes an operation from the beginning of a delta, and returns it and the rest.
func cutOperation(delta string) (op operation, rest string) {
	op.keep, delta = cutNumber(delta)
	op.drop, delta = cutNumber(delta)
	add, delta := cutNumber(delta)
	op.add, rest = delta[:add], delta[add:]
	return op, rest
}

// cutNumber removes a varint from the beginning of a delta, and returns it and the rest.
func cutNumber(delta string) (n int, rest string) {
	for i := 0; ; i++ {
		n |= int(delta[i]&0x7f) << (7 * i)
		if delta[i] < 0x80 {
			return n, delta[i+1:]
		}
	}
}

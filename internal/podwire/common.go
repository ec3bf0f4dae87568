// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"hash/maphash"
)

const (
	commonSlots = 16
	// longestPart bounds what is remembered.
	longestPart = 64 << 10
)

// common remembers what a part of a pod was read as. The executors of an
// application have one owner, the same volumes, and often the same annotations.
// A part gives way to another that falls into its slot.
type common[T any] struct {
	seed  maphash.Seed
	slots [commonSlots]commonPart[T]
}

type commonPart[T any] struct {
	wire []byte
	read T
}

func newCommon[T any]() common[T] { return common[T]{seed: maphash.MakeSeed()} }

// get reads a part, unless it is what it was in another pod.
func (c *common[T]) get(wire message, read func(message) (T, bool)) (T, bool) {
	slot := &c.slots[maphash.Bytes(c.seed, wire)%commonSlots]
	if bytes.Equal(wire, slot.wire) && len(wire) > 0 {
		return slot.read, true
	}
	value, ok := read(wire)
	if ok && len(wire) <= longestPart {
		slot.wire, slot.read = append(slot.wire[:0], wire...), value
	}
	return value, ok
}

// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"hash/maphash"
)

const (
	internBuckets = 16
	// longestPart is the size of the largest part that is kept.
	longestPart = 64 << 10
)

// internCache keeps decoded parts of pods by their bytes. The executors of an application
// have one owner, the same volumes, and often the same annotations. A new part replaces
// the part in its bucket.
type internCache[T any] struct {
	seed    maphash.Seed
	buckets [internBuckets]internedPart[T]
}

type internedPart[T any] struct {
	wire []byte
	read *T // most buckets of an application stay empty
}

func newInternCache[T any]() internCache[T] { return internCache[T]{seed: maphash.MakeSeed()} }

// get returns the decoded part, from the cache if it has equal bytes.
func (c *internCache[T]) get(wire message, read func(message) (T, bool)) (T, bool) {
	bucket := &c.buckets[maphash.Bytes(c.seed, wire)%internBuckets]
	if bytes.Equal(wire, bucket.wire) && len(wire) > 0 {
		return *bucket.read, true
	}
	value, ok := read(wire)
	if ok && len(wire) <= longestPart {
		bucket.wire, bucket.read = append(bucket.wire[:0], wire...), &value
	}
	return value, ok
}

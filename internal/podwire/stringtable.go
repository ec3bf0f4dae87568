// SPDX-License-Identifier: Apache-2.0

package podwire

import "hash/maphash"

const (
	stringBuckets = 1 << 12
	longestString = 256
)

// stringTable keeps one copy of the strings that many pods share: names of labels, nodes
// and images, reasons. A new string replaces the string in its bucket, so the table never
// grows.
type stringTable struct {
	seed    maphash.Seed
	buckets [stringBuckets]string
}

func newStringTable() *stringTable { return &stringTable{seed: maphash.MakeSeed()} }

// get returns the bytes as a string, from the table if it has the string.
func (t *stringTable) get(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > longestString:
		return string(b)
	}
	bucket := &t.buckets[maphash.Bytes(t.seed, b)%stringBuckets]
	if *bucket != string(b) {
		*bucket = string(b)
	}
	return *bucket
}

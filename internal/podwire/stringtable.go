// SPDX-License-Identifier: Apache-2.0

package podwire

import "hash/maphash"

const (
	minStringBuckets = 1 << 6
	maxStringBuckets = 1 << 12
	longestString    = 256
)

// stringTable keeps one copy of the strings that many pods share: names of labels, nodes
// and images, reasons. A new string replaces the string in its bucket, so the table has
// at most maxStringBuckets. The table of an application with few pods is small.
type stringTable struct {
	seed     maphash.Seed
	buckets  []string
	replaced int // since the table has grown
}

func newStringTable() *stringTable {
	return &stringTable{seed: maphash.MakeSeed(), buckets: make([]string, minStringBuckets)}
}

// get returns the bytes as a string, from the table if it has the string.
func (t *stringTable) get(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > longestString:
		return string(b)
	}
	hash := maphash.Bytes(t.seed, b)
	bucket := &t.buckets[hash%uint64(len(t.buckets))]
	if *bucket == string(b) {
		return *bucket
	}
	s := string(b)
	if *bucket != "" {
		t.replaced++
	}
	*bucket = s
	if t.replaced > len(t.buckets)/2 && len(t.buckets) < maxStringBuckets {
		t.grow()
	}
	return s
}

// grow doubles the table.
func (t *stringTable) grow() {
	last := t.buckets
	t.buckets, t.replaced = make([]string, 2*len(last)), 0
	for _, s := range last {
		if s != "" {
			t.buckets[maphash.String(t.seed, s)%uint64(len(t.buckets))] = s
		}
	}
}

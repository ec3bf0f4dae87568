// SPDX-License-Identifier: Apache-2.0

package podwire

import "hash/maphash"

const (
	stringSlots   = 1 << 12
	longestString = 256
)

// stringTable has one copy of the strings that many pods have in common: names
// of labels, nodes and images, reasons. A string gives way to another that
// falls into its slot, so the table never grows.
type stringTable struct {
	seed  maphash.Seed
	slots [stringSlots]string
}

func newStringTable() *stringTable { return &stringTable{seed: maphash.MakeSeed()} }

// get returns the bytes as a string, if it can the same one as before.
func (t *stringTable) get(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > longestString:
		return string(b)
	}
	slot := &t.slots[maphash.Bytes(t.seed, b)%stringSlots]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

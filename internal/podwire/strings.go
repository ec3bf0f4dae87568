// SPDX-License-Identifier: Apache-2.0

package podwire

import "hash/maphash"

const (
	stringSlots  = 1 << 12
	longestShare = 256
)

// shared has one copy of the strings that many pods have in common: label
// names, nodes, images, reasons. It forgets a string for another that falls
// into its slot, so it needs no bound of time and never grows.
type shared struct {
	seed  maphash.Seed
	slots [stringSlots]string
}

func newShared() *shared { return &shared{seed: maphash.MakeSeed()} }

// get returns the bytes as a string, the same one as before if there still is.
func (s *shared) get(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > longestShare:
		return string(b)
	}
	slot := &s.slots[maphash.Bytes(s.seed, b)%stringSlots]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

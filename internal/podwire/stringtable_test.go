// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"fmt"
	"testing"
	"unsafe"
)

// The table grows with the strings in it, up to its limit, and keeps one copy of a string.
func TestStringTable(t *testing.T) {
	for _, row := range []struct{ strings, min, max int }{
		{50, minStringBuckets, minStringBuckets},
		{1_000, 2 * minStringBuckets, maxStringBuckets},
		{100_000, maxStringBuckets, maxStringBuckets},
	} {
		table := newStringTable()
		for i := range row.strings {
			want := fmt.Sprint("node-", i)
			got := table.get([]byte(want))
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			if again := table.get([]byte(want)); unsafe.StringData(again) != unsafe.StringData(got) {
				t.Fatalf("%q has two copies, want one", want)
			}
		}
		if n := len(table.buckets); n < row.min || n > row.max {
			t.Errorf("%d strings: %d buckets, want %d to %d", row.strings, n, row.min, row.max)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"
)

func TestDifferences(t *testing.T) {
	used := versions{}
	used.add("a", "example.com/a\nexample.com/net v0.1.0\nexample.com/net v0.1.0\n\nexample.com/sync v1.0.0\n")
	used.add("b", "example.com/b\nexample.com/net v0.2.0\nexample.com/sync v1.0.0\nexample.com/text v1.0.0\n")
	used.add("c", "example.com/net v0.2.0\n")
	want := []string{"example.com/net:\n  v0.1.0 in a\n  v0.2.0 in b, c"}
	if got := used.differences(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build unix

package screen

import "testing"

func TestContinuable(t *testing.T) {
	for _, row := range []struct {
		name         string
		self, parent process
		want         bool
	}{
		{"job of a shell", process{20, 20, 10}, process{10, 10, 10}, true},
		{"in a script that is a job", process{21, 20, 10}, process{20, 20, 10}, true},
		{"leader of the session", process{20, 20, 20}, process{10, 10, 10}, false},
		{"child of a shell without job control", process{21, 20, 20}, process{20, 20, 20}, false},
		{"grandchild of a shell without job control", process{22, 20, 20}, process{21, 20, 20}, false},
		{"job whose shell has ended", process{20, 20, 10}, process{1, 1, 1}, false},
		{"PID 1", process{1, 1, 1}, process{0, 0, 0}, false},
		{"PID 1 in a job", process{1, 20, 10}, process{20, 20, 10}, false},
	} {
		if got := continuable(row.self, row.parent); got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
	if _, ok := processOf(0); ok {
		t.Error("a parent outside of the PID namespace is found")
	}
}

// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string // "" for no error
	}{
		{names: []string{"a"}},
		{names: []string{"team-a", "team-b", "0"}},
		{names: nil, want: "has no name"},
		{names: []string{"a", ""}, want: `("a", "") has an empty name`},
		{names: []string{"a", "b", "a"}, want: `the name "a" twice`},
		{names: []string{"a", "Team"}, want: `"Team" cannot be the name of a namespace`},
		{names: []string{"a,b"}, want: `"a,b" cannot`},
		{names: []string{"a/b"}, want: `"a/b" cannot`},
		{names: []string{"*"}, want: `"*" cannot`},
		{names: []string{" a"}, want: `" a" cannot`},
		{names: []string{strings.Repeat("a", 64)}, want: "must be no more than 63"},
		{names: strings.Split("a b c d e f g ", " "), want: `("a", "b", "c", "d", "e", and 3 more) has an empty name`},
	} {
		got := fmt.Sprint(Check(test.names))
		if test.want == "" && got != "<nil>" || !strings.Contains(got, test.want) {
			t.Errorf("Check(%q) = %v, want %q", test.names, got, test.want)
		}
	}
}

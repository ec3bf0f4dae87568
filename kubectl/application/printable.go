// SPDX-License-Identifier: Apache-2.0

package application

import (
	"strings"
	"unicode"

	"k8s.io/cli-runtime/pkg/printers"
)

// Printable returns text from the cluster in a form that is safe for a terminal. The text of
// a reason or a message comes from any client that may write a pod's status, and an escape
// sequence in it could change the terminal.
func Printable(text string) string {
	if safe(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return unicode.ReplacementChar
		default:
			return r
		}
	}, printers.EscapeTerminal(text))
}

// safe reports whether the text has printable ASCII only, as nearly all texts have.
func safe(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

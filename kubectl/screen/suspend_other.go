// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package screen

// suspendable reports false: this system has no job control.
func suspendable() bool { return false }

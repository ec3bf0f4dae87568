// SPDX-License-Identifier: Apache-2.0

package podtest

// An Endless reader returns the bytes of All again and again.
type Endless struct {
	All  []byte
	left []byte
}

// Read implements io.Reader.
func (e *Endless) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		e.left = e.All
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}

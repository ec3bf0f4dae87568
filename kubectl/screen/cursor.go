// SPDX-License-Identifier: Apache-2.0

package screen

// A position is a place in a list, and the part of the list on the screen.
type position struct {
	index  int
	offset int // index of the first row on the screen
	rows   int // on the screen
}

// scroll sets the number of rows on the screen, and returns the index of the first.
func (p *position) scroll(rows, length int) int {
	p.rows = rows
	p.offset = min(p.offset, max(length-rows, 0))
	p.offset = min(p.offset, p.index)
	p.offset = max(p.offset, p.index-rows+1)
	return p.offset
}

// A cursor is a position in a list whose rows move. Once the user has moved it away from the
// first row, it follows its row.
type cursor[K comparable] struct {
	position
	moved bool
	key   K
}

// move moves the cursor by n rows in a list of a length.
func (c *cursor[K]) move(n, length int, keyOf func(index int) K) {
	c.index = min(max(c.index+n, 0), max(length-1, 0))
	c.moved = c.index > 0
	if c.moved {
		c.key = keyOf(c.index)
	}
}

// follow moves the cursor after a change of the list. If its row is gone, the cursor stays.
// indexOf returns -1 for a row that is gone.
func (c *cursor[K]) follow(length int, indexOf func(K) int) {
	if c.moved {
		if index := indexOf(c.key); index >= 0 {
			c.index = index
		}
	}
	c.index = min(c.index, max(length-1, 0))
}

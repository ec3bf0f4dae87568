// SPDX-License-Identifier: Apache-2.0

package screen

import "time"

// reactionTime is less than a person needs to see a row and press a key. If another row has come under the
// cursor since, the key means the row before it. It also covers the time between two frames.
const reactionTime = 2 * frameInterval

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

// shift moves the position to where its row has moved. The row keeps its line on the screen, unless
// the screen shows the beginning of the list: rows that come first stay visible.
func (p *position) shift(index int) {
	if p.offset > 0 {
		p.offset = max(p.offset+index-p.index, 0)
	}
	p.index = index
}

// A keyed is a list whose rows have keys. application.List is one.
type keyed[K comparable] interface {
	Len() int
	Index(key K) int // -1 for a row that is gone
	KeyAt(index int) (key K, ok bool)
}

// A cursor is a position in a list whose rows move. It stays at the first row until the user presses a key that
// has to do with a row. From then on it is tied to a row and follows it. If the row is gone, the cursor stays
// at its place and is tied to the row that is there now.
type cursor[K comparable] struct {
	position
	tied bool

	under  spot[K]   // the row under the cursor
	since  time.Time // when that came under the cursor
	before spot[K]   // the row that the user saw there before, if since is shorter ago than reactionTime
}

// A spot is a row, or nothing in an empty list.
type spot[K comparable] struct {
	key K
	row bool
}

// follow moves the cursor after a change of the list.
func (c *cursor[K]) follow(list keyed[K], now time.Time) {
	if c.tied && c.under.row {
		if index := list.Index(c.under.key); index >= 0 {
			c.shift(index)
			return
		}
	}
	if !c.tied {
		c.index, c.offset = 0, 0
	}
	c.index = min(c.index, max(list.Len()-1, 0))
	key, row := list.KeyAt(c.index)
	c.see(spot[K]{key, row}, now)
}

// see notes the row under the cursor.
func (c *cursor[K]) see(under spot[K], now time.Time) {
	if under == c.under {
		return
	}
	if now.Sub(c.since) >= reactionTime {
		c.before = c.under
	}
	c.under, c.since = under, now
}

// tie ties the cursor to the row that the user has seen under it, and returns that row. The row
// may be gone.
func (c *cursor[K]) tie(list keyed[K], now time.Time) (key K, ok bool) {
	c.tied = true
	seen := c.under
	if c.before.row && now.Sub(c.since) < reactionTime {
		seen = c.before
	}
	if index := list.Index(seen.key); seen.row && index >= 0 {
		c.shift(index)
		c.under, c.since = seen, time.Time{}
	}
	return seen.key, seen.row
}

// move moves the cursor by n rows from the row that the user has seen under it.
func (c *cursor[K]) move(list keyed[K], n int, now time.Time) {
	c.tie(list, now)
	c.index = min(max(c.index+n, 0), max(list.Len()-1, 0))
	key, row := list.KeyAt(c.index)
	c.under, c.since = spot[K]{key, row}, time.Time{}
}

// search moves the cursor after a change of the filter: to the first row if its own does not pass.
func (c *cursor[K]) search(list keyed[K], now time.Time) {
	if c.tied && list.Index(c.under.key) < 0 {
		*c = cursor[K]{position: position{rows: c.rows}}
	}
	c.follow(list, now)
}

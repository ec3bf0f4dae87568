// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"slices"
	"strings"
)

// fewChanges is the part of a list that changes one by one: 1/fewChanges of it. If more of it
// changes at once, the whole list is gone through once.
const fewChanges = 64

// A kind says how the rows of a list are identified, sorted and filtered.
type kind[K comparable, R comparable] struct {
	key    func(R) K
	orders []order[R] // the first is that of a new list
	// last orders rows that are equal in an order. It is 0 for one row only.
	last  func(a, b R) int
	texts func(R) []string // in which the filter looks for its words
}

// An order compares two rows.
type order[R comparable] struct {
	by      Order
	compare func(a, b R) int
	// unknown reports whether a row has nothing to compare. It then comes last, even if the order
	// is reversed. It may be nil.
	unknown func(R) bool
}

// A List has rows, sorted and filtered. A row never changes: another one replaces it. A change costs a
// search and a move of pointers, so that a screen of a few rows can be drawn from 50,000 of them
// ten times a second.
//
// Its invariant: visible and added have the present rows that pass the filter, each once. In
// addition visible has the rows in left, which have left since it was sorted, and added has rows
// that were replaced since. visible is always sorted.
type List[K comparable, R comparable] struct {
	kind     *kind[K, R]
	order    order[R]
	reversed bool
	words    []string // in lower case, all of which a visible row has

	rows    map[K]R
	visible []R
	added   []R
	left    []R
}

func newList[K comparable, R comparable](kind *kind[K, R]) List[K, R] {
	return List[K, R]{kind: kind, order: kind.orders[0], rows: map[K]R{}}
}

// Len returns the number of rows that pass the filter.
func (l *List[K, R]) Len() int {
	l.settle()
	return len(l.visible)
}

// Total returns the number of rows.
func (l *List[K, R]) Total() int { return len(l.rows) }

// Page returns the rows from index from to index to-1, of those that pass the filter. The slice is
// valid until the next change.
func (l *List[K, R]) Page(from, to int) []R {
	l.settle()
	from = min(max(from, 0), len(l.visible))
	return l.visible[from:min(max(to, from), len(l.visible))]
}

// KeyAt returns the key of the row with an index, and whether there is one.
func (l *List[K, R]) KeyAt(index int) (key K, ok bool) {
	for _, row := range l.Page(index, index+1) {
		return l.kind.key(row), true
	}
	return key, false
}

// Index returns the index of a row, or -1 if it is not among those that pass the filter.
func (l *List[K, R]) Index(key K) int {
	l.settle()
	if row, known := l.rows[key]; known {
		if i, found := l.find(row); found {
			return i
		}
	}
	return -1
}

// Get returns the row with a key, or the zero value.
func (l *List[K, R]) Get(key K) R { return l.rows[key] }

// Orders returns the orders that the list can have.
func (l *List[K, R]) Orders() []Order {
	var all []Order
	for _, order := range l.kind.orders {
		all = append(all, order.by)
	}
	return all
}

// Sorting returns how the list is sorted.
func (l *List[K, R]) Sorting() Sorting { return Sorting{l.order.by, l.reversed} }

// Sort changes the order. An order that the list does not have changes nothing.
func (l *List[K, R]) Sort(s Sorting) {
	i := slices.IndexFunc(l.kind.orders, func(o order[R]) bool { return o.by == s.By })
	if i < 0 || s == l.Sorting() {
		return
	}
	l.settle()
	l.order, l.reversed = l.kind.orders[i], s.Reversed
	slices.SortFunc(l.visible, l.compare)
}

// Filter keeps the rows visible that have each word of a text, in upper or lower case.
func (l *List[K, R]) Filter(text string) {
	words := strings.Fields(strings.ToLower(text))
	if slices.Equal(words, l.words) {
		return
	}
	l.words = words
	l.visible, l.added, l.left = l.visible[:0], nil, nil
	for _, row := range l.rows {
		if l.passes(row) {
			l.visible = append(l.visible, row)
		}
	}
	slices.SortFunc(l.visible, l.compare)
}

func (l *List[K, R]) passes(row R) bool {
	if len(l.words) == 0 {
		return true
	}
	texts := l.kind.texts(row)
	for i, text := range texts {
		texts[i] = strings.ToLower(text)
	}
	for _, word := range l.words {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, word) }) {
			return false
		}
	}
	return true
}

// put adds a row, in the place of the one with its key.
func (l *List[K, R]) put(row R) {
	key := l.kind.key(row)
	old, known := l.rows[key]
	l.rows[key] = row
	passes := l.passes(row)
	if known {
		if i, found := l.find(old); found {
			if passes && l.fits(i, row) {
				l.visible[i] = row
				return
			}
			l.left = append(l.left, old)
		}
	}
	if passes {
		l.added = append(l.added, row)
	}
	l.bound()
}

// remove removes the row with a key, if there is one.
func (l *List[K, R]) remove(key K) {
	row, known := l.rows[key]
	if !known {
		return
	}
	delete(l.rows, key)
	if _, found := l.find(row); found {
		l.left = append(l.left, row)
	}
	l.bound()
}

// bound keeps the memory of a list small that is changed and not read.
func (l *List[K, R]) bound() {
	if len(l.added)+len(l.left) > 2*len(l.rows)+fewChanges {
		l.settle()
	}
}

// settle takes the rows that have left out of the visible ones, and sorts the new ones in.
func (l *List[K, R]) settle() {
	if len(l.added) == 0 && len(l.left) == 0 {
		return
	}
	l.takeOut(l.left)
	l.sortIn(slices.DeleteFunc(l.added, func(row R) bool { return l.rows[l.kind.key(row)] != row }))
	clear(l.left)
	clear(l.added)
	l.left, l.added = l.left[:0], l.added[:0]
}

func (l *List[K, R]) takeOut(left []R) {
	if len(left) <= len(l.visible)/fewChanges {
		for _, row := range left {
			if i, found := l.find(row); found {
				l.visible = slices.Delete(l.visible, i, i+1)
			}
		}
		return
	}
	gone := make(map[R]bool, len(left))
	for _, row := range left {
		gone[row] = true
	}
	l.visible = slices.DeleteFunc(l.visible, func(row R) bool { return gone[row] })
}

func (l *List[K, R]) sortIn(added []R) {
	if len(added) <= len(l.visible)/fewChanges {
		for _, row := range added {
			if i, found := l.search(row); !found {
				l.visible = slices.Insert(l.visible, i, row)
			}
		}
		return
	}
	slices.SortFunc(added, l.compare)
	added = slices.Compact(added)
	old := len(l.visible) - 1
	l.visible = append(l.visible, added...)
	for to, from := len(l.visible)-1, len(added)-1; from >= 0; to-- { // merge from the end
		if old >= 0 && l.compare(l.visible[old], added[from]) > 0 {
			l.visible[to] = l.visible[old]
			old--
			continue
		}
		l.visible[to] = added[from]
		from--
	}
}

// find returns the index of a row in visible.
func (l *List[K, R]) find(row R) (int, bool) {
	i, found := l.search(row)
	return i, found && l.visible[i] == row
}

func (l *List[K, R]) search(row R) (int, bool) {
	return slices.BinarySearchFunc(l.visible, row, l.compare)
}

// fits reports whether visible stays sorted with another row at an index.
func (l *List[K, R]) fits(index int, row R) bool {
	return (index == 0 || l.compare(l.visible[index-1], row) < 0) &&
		(index == len(l.visible)-1 || l.compare(row, l.visible[index+1]) < 0)
}

// compare orders the rows totally.
func (l *List[K, R]) compare(a, b R) int {
	if l.order.unknown != nil {
		if x, y := l.order.unknown(a), l.order.unknown(b); x || y {
			return cmp.Or(compareBools(x, y), l.kind.last(a, b))
		}
	}
	first := l.order.compare(a, b)
	if l.reversed {
		first = -first
	}
	return cmp.Or(first, l.kind.last(a, b))
}

// compareBools compares false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// SPDX-License-Identifier: Apache-2.0

// Package sorted holds a persistent ordered set: every change returns a new
// set and leaves the old one as it was, at the price of the few nodes between
// the root and the changed element.
package sorted

import (
	"iter"
	"slices"
)

// maxItems bounds the elements of a node; a node other than the root has at
// least minItems. Small nodes copy little, large ones keep the tree flat.
const (
	maxItems = 16
	minItems = maxItems / 2
)

// A Set is an immutable ordered set of elements, a B-tree. Copies are free and
// independent, and any number of goroutines may read them. Make one with New;
// the zero Set has no order and may only be read.
type Set[E any] struct {
	order func(a, b E) int
	root  *node[E]
	len   int
}

// node is never changed once it can be reached from a Set.
type node[E any] struct {
	items []E
	kids  []*node[E] // none in a leaf, else one more than items
}

// New returns a set of the given elements under order, which must be a strict
// weak ordering; of elements that it calls equal the last one wins. It sorts
// elements in place.
func New[E any](order func(a, b E) int, elements ...E) Set[E] {
	slices.SortStableFunc(elements, order)
	unique := elements[:0]
	for i, e := range elements {
		if i+1 == len(elements) || order(e, elements[i+1]) != 0 {
			unique = append(unique, e)
		}
	}
	return Set[E]{order: order, root: build(unique, height(len(unique))), len: len(unique)}
}

// height is the number of levels that n elements need below and with the root.
func height(n int) int {
	levels := 1
	for capacity := maxItems; capacity < n; capacity = capacity*(maxItems+1) + maxItems {
		levels++
	}
	return levels
}

// build makes a tree of exactly so many levels from sorted elements, dealing
// them out evenly so that every node below the root is at least half full.
func build[E any](elements []E, levels int) *node[E] {
	if len(elements) == 0 {
		return nil
	}
	if levels == 1 {
		return &node[E]{items: slices.Clone(elements)}
	}
	room := maxItems // of one kid with all that is below it
	for range levels - 2 {
		room = room*(maxItems+1) + maxItems
	}
	kids := (len(elements) + room + 1) / (room + 1)
	n := &node[E]{items: make([]E, 0, kids-1), kids: make([]*node[E], 0, kids)}
	for left := kids; left > 0; left-- {
		share := (len(elements) - (left - 1)) / left
		n.kids = append(n.kids, build(elements[:share], levels-1))
		elements = elements[share:]
		if left > 1 {
			n.items = append(n.items, elements[0])
			elements = elements[1:]
		}
	}
	return n
}

// Len returns the number of elements.
func (s Set[E]) Len() int { return s.len }

// Get returns the element that order calls equal to like.
func (s Set[E]) Get(like E) (E, bool) {
	for n := s.root; n != nil; {
		i, found := n.search(like, s.order)
		if found {
			return n.items[i], true
		}
		n = n.kid(i)
	}
	var none E
	return none, false
}

// With returns the set with e, in the place of an element equal to it if there
// is one.
func (s Set[E]) With(e E) Set[E] {
	if s.root == nil {
		return Set[E]{order: s.order, root: &node[E]{items: []E{e}}, len: 1}
	}
	root, split, added := s.root.with(e, s.order)
	if split != nil {
		root = &node[E]{items: []E{split.item}, kids: []*node[E]{root, split.right}}
	}
	s.root = root
	if added {
		s.len++
	}
	return s
}

// Without returns the set without the element equal to like.
func (s Set[E]) Without(like E) Set[E] {
	if s.root == nil {
		return s
	}
	root, removed := s.root.without(like, s.order)
	if !removed {
		return s
	}
	if len(root.items) == 0 {
		root = root.kid(0)
	}
	s.root = root
	s.len--
	return s
}

// All returns the elements in order.
func (s Set[E]) All() iter.Seq[E] {
	return func(yield func(E) bool) { s.root.all(yield) }
}

// From returns the elements from the first that is not before like, in order.
func (s Set[E]) From(like E) iter.Seq[E] {
	return func(yield func(E) bool) { s.root.from(like, s.order, yield) }
}

func (n *node[E]) search(like E, order func(a, b E) int) (int, bool) {
	return slices.BinarySearchFunc(n.items, like, order)
}

// kid returns the i-th kid, nil in a leaf.
func (n *node[E]) kid(i int) *node[E] {
	if n.kids == nil {
		return nil
	}
	return n.kids[i]
}

func (n *node[E]) all(yield func(E) bool) bool {
	if n == nil {
		return true
	}
	for i, item := range n.items {
		if !n.kid(i).all(yield) || !yield(item) {
			return false
		}
	}
	return n.kid(len(n.items)).all(yield)
}

func (n *node[E]) from(like E, order func(a, b E) int, yield func(E) bool) bool {
	if n == nil {
		return true
	}
	i, found := n.search(like, order)
	if !found && !n.kid(i).from(like, order, yield) {
		return false
	}
	for ; i < len(n.items); i++ {
		if !yield(n.items[i]) || !n.kid(i+1).all(yield) {
			return false
		}
	}
	return true
}

// split is what a node that grew too large hands up to its parent.
type split[E any] struct {
	item  E
	right *node[E]
}

func (n *node[E]) with(e E, order func(a, b E) int) (grown *node[E], up *split[E], added bool) {
	i, found := n.search(e, order)
	switch {
	case found:
		grown = &node[E]{items: slices.Clone(n.items), kids: n.kids}
		grown.items[i] = e
		return grown, nil, false
	case n.kids == nil:
		grown, added = &node[E]{items: inserted(n.items, i, e)}, true
	default:
		var kid *node[E]
		kid, up, added = n.kids[i].with(e, order)
		if up == nil {
			grown = &node[E]{items: n.items, kids: slices.Clone(n.kids)}
		} else {
			grown = &node[E]{items: inserted(n.items, i, up.item), kids: inserted(n.kids, i+1, up.right)}
		}
		grown.kids[i] = kid
	}
	grown, up = grown.halved()
	return grown, up, added
}

// halved splits a node that has one element too many.
func (n *node[E]) halved() (*node[E], *split[E]) {
	if len(n.items) <= maxItems {
		return n, nil
	}
	left, right := &node[E]{}, &node[E]{}
	middle := len(n.items) / 2
	left.items, right.items = slices.Clone(n.items[:middle]), slices.Clone(n.items[middle+1:])
	if n.kids != nil {
		left.kids, right.kids = slices.Clone(n.kids[:middle+1]), slices.Clone(n.kids[middle+1:])
	}
	return left, &split[E]{item: n.items[middle], right: right}
}

func (n *node[E]) without(like E, order func(a, b E) int) (shrunk *node[E], removed bool) {
	i, found := n.search(like, order)
	if n.kids == nil {
		if !found {
			return n, false
		}
		return &node[E]{items: removedAt(n.items, i)}, true
	}
	var kid *node[E]
	items := n.items
	if found {
		// The greatest element below takes the place of the removed one.
		last := n.kids[i].last()
		kid, _ = n.kids[i].without(last, order)
		items = slices.Clone(items)
		items[i] = last
	} else if kid, removed = n.kids[i].without(like, order); !removed {
		return n, false
	}
	shrunk = &node[E]{items: items, kids: slices.Clone(n.kids)}
	shrunk.kids[i] = kid
	return shrunk.refilled(i), true
}

func (n *node[E]) last() E {
	for n.kids != nil {
		n = n.kids[len(n.kids)-1]
	}
	return n.items[len(n.items)-1]
}

// refilled merges kid i, if it has become too small, with a neighbour, and
// splits the two again if together they are too large.
func (n *node[E]) refilled(i int) *node[E] {
	if len(n.kids[i].items) >= minItems {
		return n
	}
	i = max(i-1, 0)
	left, right := n.kids[i], n.kids[i+1]
	merged := &node[E]{items: slices.Concat(left.items, n.items[i:i+1], right.items)}
	if left.kids != nil {
		merged.kids = slices.Concat(left.kids, right.kids)
	}
	merged, up := merged.halved()
	if up == nil {
		n = &node[E]{items: removedAt(n.items, i), kids: removedAt(n.kids, i+1)}
	} else {
		n = &node[E]{items: slices.Clone(n.items), kids: slices.Clone(n.kids)}
		n.items[i], n.kids[i+1] = up.item, up.right
	}
	n.kids[i] = merged
	return n
}

// inserted and removedAt return a changed copy of exactly the size it needs.

func inserted[T any](list []T, at int, item T) []T {
	longer := make([]T, len(list)+1)
	copy(longer, list[:at])
	longer[at] = item
	copy(longer[at+1:], list[at:])
	return longer
}

func removedAt[T any](list []T, at int) []T {
	shorter := make([]T, len(list)-1)
	copy(shorter, list[:at])
	copy(shorter[at:], list[at+1:])
	return shorter
}

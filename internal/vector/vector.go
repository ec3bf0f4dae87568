// SPDX-License-Identifier: Apache-2.0

// Package vector has a persistent array. Every change returns a new vector and does not
// modify the old one. It copies the few nodes between the root and the changed element.
// Unlike a search tree it compares nothing on the way down, so its cost grows slowly with
// the number of elements.
package vector

import "unsafe"

// Narrow nodes copy little, wide ones keep the tree flat. A node of eight is one
// line of most processors' caches.
const (
	widthBits = 3 // of the index, within a node
	width     = 1 << widthBits
)

// A Vector is an immutable array of pointers, a radix tree over the index.
// Copies are free and independent, and any number of goroutines may read them.
// The zero Vector is empty.
type Vector[E any] struct {
	root  *node
	above int // levels of nodes above the elements' level
}

// node holds elements, or on the levels above that nodes. It is never changed
// once it can be reached from a Vector.
//
// Which of the two it holds follows from its level. A type for each, in one slot
// an interface, would double what every change copies; so the slots are unsafe
// pointers, and the casts are those in kid and element.
type node [width]unsafe.Pointer

func (n *node) kid(i, above int) *node {
	return (*node)(n[i>>(above*widthBits)%width])
}

func element[E any](n *node, i int) *E { return (*E)(n[i%width]) }

// Of returns a vector of the given elements.
func Of[E any](elements []*E) Vector[E] {
	level := make([]unsafe.Pointer, len(elements))
	for i, e := range elements {
		level[i] = unsafe.Pointer(e)
	}
	var v Vector[E]
	for above := 0; len(level) > 0; above++ {
		var nodes []unsafe.Pointer
		for len(level) > 0 {
			n := new(node)
			level = level[copy(n[:], level):]
			nodes = append(nodes, unsafe.Pointer(n))
		}
		if len(nodes) == 1 {
			return Vector[E]{(*node)(nodes[0]), above}
		}
		level = nodes
	}
	return v
}

// has reports whether index i is within what the root can reach.
func (v Vector[E]) has(i int) bool { return i>>widthBits>>(v.above*widthBits) == 0 }

// Get returns the element at index i, or nil.
func (v Vector[E]) Get(i int) *E {
	if !v.has(i) {
		return nil
	}
	n := v.root
	for above := v.above; above > 0 && n != nil; above-- {
		n = n.kid(i, above)
	}
	if n == nil {
		return nil
	}
	return element[E](n, i)
}

// With returns the vector with e at index i, which may be of any size. A nil e removes
// the element.
func (v Vector[E]) With(i int, e *E) Vector[E] {
	for !v.has(i) {
		v.root = &node{unsafe.Pointer(v.root)}
		v.above++
	}
	v.root = v.root.with(i, v.above, unsafe.Pointer(e))
	return v
}

// with is a copy of a node, which may be nil, with another element below it.
func (n *node) with(i, above int, e unsafe.Pointer) *node {
	changed := new(node)
	if n != nil {
		*changed = *n
	}
	if above > 0 {
		e = unsafe.Pointer(changed.kid(i, above).with(i, above-1, e))
	}
	changed[i>>(above*widthBits)%width] = e
	return changed
}

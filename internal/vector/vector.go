// SPDX-License-Identifier: Apache-2.0

// Package vector holds a persistent array: every change returns a new vector
// and leaves the old one as it was, at the price of the few nodes between the
// root and the changed element. Unlike a search tree it compares nothing on the
// way down, so it hardly notices how many elements there are.
package vector

// Narrow nodes copy little, wide ones keep the tree flat. A kid is as large as
// two elements, so that all nodes have one size.
const (
	leafBits = 5 // of the index, within a leaf
	kidBits  = 4 // of the index, within any other node

	leafWidth = 1 << leafBits
	kidWidth  = 1 << kidBits
)

// A Vector is an immutable array of pointers, a radix tree over the index.
// Copies are free and independent, and any number of goroutines may read them.
// The zero Vector is empty.
type Vector[E any] struct {
	root node[E]
	bits int // of the index, beyond those within a leaf
}

// node has kids, or is a leaf with elements, or is empty. What it points to is
// never changed once it can be reached from a Vector.
type node[E any] struct {
	kids     *[kidWidth]node[E]
	elements *[leafWidth]*E
}

// Of returns a vector of the given elements.
func Of[E any](elements []*E) Vector[E] {
	var v Vector[E]
	var level []node[E]
	for len(elements) > 0 {
		leaf := new([leafWidth]*E)
		elements = elements[copy(leaf[:], elements):]
		level = append(level, node[E]{elements: leaf})
	}
	for len(level) > 1 {
		var above []node[E]
		for len(level) > 0 {
			kids := new([kidWidth]node[E])
			level = level[copy(kids[:], level):]
			above = append(above, node[E]{kids: kids})
		}
		level = above
		v.bits += kidBits
	}
	if len(level) == 1 {
		v.root = level[0]
	}
	return v
}

// has reports whether index i is within what the root can reach.
func (v Vector[E]) has(i int) bool { return i>>leafBits>>v.bits == 0 }

// Get returns the element at index i, nil where there is none.
func (v Vector[E]) Get(i int) *E {
	if !v.has(i) {
		return nil
	}
	n := v.root
	for bits := v.bits; n.kids != nil; {
		bits -= kidBits
		n = n.kids[kidIndex(i, bits)]
	}
	if n.elements == nil {
		return nil
	}
	return n.elements[i%leafWidth]
}

// kidIndex is which kid leads to index i, with so many bits left below it.
func kidIndex(i, bits int) int { return (i >> leafBits >> bits) % kidWidth }

// With returns the vector with e at index i, however large; a nil e removes
// what is there.
func (v Vector[E]) With(i int, e *E) Vector[E] {
	for !v.has(i) {
		v.root = node[E]{kids: &[kidWidth]node[E]{v.root}}
		v.bits += kidBits
	}
	v.root = v.root.with(v.bits, i, e)
	return v
}

func (n node[E]) with(bits, i int, e *E) node[E] {
	if bits == 0 {
		elements := new([leafWidth]*E)
		if n.elements != nil {
			*elements = *n.elements
		}
		elements[i%leafWidth] = e
		return node[E]{elements: elements}
	}
	kids := new([kidWidth]node[E])
	if n.kids != nil {
		*kids = *n.kids
	}
	bits -= kidBits
	kid := &kids[kidIndex(i, bits)]
	*kid = kid.with(bits, i, e)
	return node[E]{kids: kids}
}

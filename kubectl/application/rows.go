// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/executorpods/watchsource"
)

// An Order is an order of executors.
type Order int

// The orders.
const (
	ByTrouble Order = iota // those in trouble first, then pending, terminating, running
	ByID
	ByAge // the youngest first
	ByNode
	orders
)

// Next returns the next order, and the first after the last.
func (o Order) Next() Order { return (o + 1) % orders }

// String returns the word for the order.
func (o Order) String() string {
	return [...]string{ByTrouble: "trouble", ByID: "id", ByAge: "age", ByNode: "node"}[o]
}

// Key identifies the pod of an executor.
type Key struct{ Namespace, Name string }

// KeyOf returns the key of an executor.
func KeyOf(e *watchsource.Executor) Key { return Key{e.Namespace, e.Name} }

// Rows are executors in an order. A change costs a search and a move of pointers, so that
// a screen of a few rows can be drawn from 50,000 of them ten times a second.
type Rows struct {
	all     map[Key]*watchsource.Executor
	order   Order
	filter  string                  // lower case
	visible []*watchsource.Executor // those that pass the filter, sorted
	added   []*watchsource.Executor // visible but not sorted in yet
}

func newRows() Rows { return Rows{all: map[Key]*watchsource.Executor{}} }

// Len returns the number of executors that pass the filter.
func (r *Rows) Len() int { return len(r.visible) }

// Total returns the number of executors.
func (r *Rows) Total() int { return len(r.all) }

// Page returns the executors from index from to index to-1. The slice is valid until the
// next change.
func (r *Rows) Page(from, to int) []*watchsource.Executor {
	from = min(max(from, 0), len(r.visible))
	return r.visible[from:min(max(to, from), len(r.visible))]
}

// Index returns the index of an executor, or -1 if it is not among the visible ones.
func (r *Rows) Index(key Key) int {
	if e := r.all[key]; e != nil {
		if i, found := r.search(e); found {
			return i
		}
	}
	return -1
}

// Get returns the executor of a pod, or nil.
func (r *Rows) Get(key Key) *watchsource.Executor { return r.all[key] }

// Order returns the order.
func (r *Rows) Order() Order { return r.order }

// Sort changes the order.
func (r *Rows) Sort(order Order) {
	r.order = order
	slices.SortFunc(r.visible, r.compare)
}

// Filter keeps the executors visible whose id, state, node, pod or reason contains a text, in
// upper or lower case.
func (r *Rows) Filter(text string) {
	r.filter = strings.ToLower(text)
	r.visible = r.visible[:0]
	for _, e := range r.all {
		if r.passes(e) {
			r.visible = append(r.visible, e)
		}
	}
	slices.SortFunc(r.visible, r.compare)
}

func (r *Rows) passes(e *watchsource.Executor) bool {
	if r.filter == "" {
		return true
	}
	for _, text := range []string{e.ID, State(e), e.Node, e.Name, Reason(e)} {
		if strings.Contains(strings.ToLower(text), r.filter) {
			return true
		}
	}
	return false
}

func (r *Rows) put(e *watchsource.Executor) {
	r.remove(e)
	r.all[KeyOf(e)] = e
	if r.passes(e) {
		r.added = append(r.added, e)
	}
}

func (r *Rows) remove(e *watchsource.Executor) {
	key := KeyOf(e)
	old := r.all[key]
	if old == nil {
		return
	}
	delete(r.all, key)
	if i, found := r.search(old); found {
		r.visible = slices.Delete(r.visible, i, i+1)
		return
	}
	if i := slices.Index(r.added, old); i >= 0 {
		r.added = slices.Delete(r.added, i, i+1)
	}
}

// settle sorts the new executors in: one by one if they are few, else all together.
func (r *Rows) settle() {
	if len(r.added) > len(r.visible)/64 {
		r.visible = append(r.visible, r.added...)
		slices.SortFunc(r.visible, r.compare)
	} else {
		for _, e := range r.added {
			i, _ := r.search(e)
			r.visible = slices.Insert(r.visible, i, e)
		}
	}
	clear(r.added)
	r.added = r.added[:0]
}

func (r *Rows) search(e *watchsource.Executor) (int, bool) {
	return slices.BinarySearchFunc(r.visible, e, r.compare)
}

// compare orders the executors totally: two pods have different names or namespaces.
func (r *Rows) compare(a, b *watchsource.Executor) int {
	first := 0
	switch r.order {
	case ByTrouble:
		first = cmp.Compare(rank(a), rank(b))
	case ByAge:
		first = b.CreatedAt.Compare(a.CreatedAt)
	case ByNode:
		first = cmp.Compare(a.Node, b.Node)
	}
	return cmp.Or(first,
		compareIDs(a.ID, b.ID),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Namespace, b.Namespace))
}

func rank(e *watchsource.Executor) int {
	switch {
	case InTrouble(e):
		return 0
	case e.Terminating:
		return 2
	case e.State == watchsource.Pending:
		return 1
	default:
		return 3
	}
}

// compareIDs compares decimal ids by value, and puts them before all others.
func compareIDs(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	default:
		return cmp.Compare(a, b)
	}
}

// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
)

var sizes = []int{100, 10_000, 100_000}

// A contender is a candidate of whatever type.
type contender interface {
	label() string
	check(t *testing.T)
	benchmark(b *testing.B, operation string, elements []*element)
}

func (c candidate[M]) label() string { return c.name }

func digits(n int) string { return strconv.Itoa(n) }

// executors returns elements in the order in which executors are started, which
// is not that of their names.
func executors(n int) []*element {
	elements := make([]*element, n)
	for i := range elements {
		elements[i] = &element{key: fmt.Sprintf("spark-8f3a-exec-%d", i+1), slot: i}
	}
	return elements
}

// The benchmarks are worth something only if all candidates do what they are
// called for: a new state has the change, and the old state does not.
func TestCandidates(t *testing.T) {
	for _, c := range contenders() {
		t.Run(c.label(), c.check)
	}
}

func (c candidate[M]) check(t *testing.T) {
	elements := executors(200)
	before := c.of(append([]*element(nil), elements...))
	newer := &element{key: elements[17].key, slot: 17}
	after := c.without(c.with(before, newer), elements[50])

	expect := func(state string, m M, e, want *element) {
		if got := c.get(m, e); got != want {
			t.Errorf("%s: %s is %p, want %p", state, e.key, got, want)
		}
	}
	expect("before", before, elements[17], elements[17])
	expect("before", before, elements[50], elements[50])
	expect("after", after, elements[17], newer)
	expect("after", after, elements[50], nil)
	for state, want := range map[*M]int{&before: 200, &after: 199} {
		seen := map[string]bool{}
		c.all(*state, func(e *element) bool { seen[e.key] = true; return true })
		if len(seen) != want {
			t.Errorf("all shows %d elements, want %d", len(seen), want)
		}
	}
}

const (
	replacing = "replace"
	turnover  = "insert+delete"
	getting   = "get"
	iterating = "iterate"
	holding   = "hold"
)

// Names are operation/candidate/size, so that benchstat and the eye find the
// rivals side by side.
func BenchmarkMaps(b *testing.B) {
	for _, operation := range []string{replacing, turnover, getting, iterating, holding} {
		for _, c := range contenders() {
			for _, n := range sizes {
				b.Run(fmt.Sprintf("op=%s/map=%s/n=%d", operation, c.label(), n), func(b *testing.B) {
					c.benchmark(b, operation, executors(n))
				})
			}
		}
	}
}

func (c candidate[M]) benchmark(b *testing.B, operation string, elements []*element) {
	n := len(elements)
	m := c.of(append([]*element(nil), elements...))
	b.ReportAllocs()
	switch operation {
	case replacing:
		c.replace(b, m, elements)
	case turnover:
		c.turnOver(b, m, n)
	case getting:
		for i := 0; b.Loop(); i++ {
			if c.get(m, elements[scattered(i, n)]) == nil {
				b.Fatal("not found")
			}
		}
	case iterating:
		for b.Loop() {
			seen := 0
			c.all(m, func(*element) bool { seen++; return true })
			if seen != n {
				b.Fatalf("%d elements, want %d", seen, n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/element")
	case holding:
		c.hold(b, m, elements)
	}
}

// scattered is the i-th place in an order without neighbours.
func scattered(i, n int) int { return i * 7919 % n }

// replace is what an event costs: one element for another under the same key,
// and the new state for all to see.
func (c candidate[M]) replace(b *testing.B, m M, elements []*element) {
	var published atomic.Pointer[M]
	for i := 0; b.Loop(); i++ {
		next := c.with(m, elements[scattered(i, len(elements))])
		published.Store(&next)
		m = next
	}
}

// turnOver adds an executor and removes the oldest, so that the map keeps its size and the
// names advance.
func (c candidate[M]) turnOver(b *testing.B, m M, n int) {
	const turns = 1 << 16
	comers := executors(n + turns)
	var published atomic.Pointer[M]
	fresh, turn := m, 0
	for b.Loop() {
		if turn == turns {
			m, turn = fresh, 0
		}
		next := c.without(c.with(m, comers[n+turn]), comers[turn])
		published.Store(&next)
		m = next
		turn++
	}
}

// hold reports the cost of keeping an old state for each update.
func (c candidate[M]) hold(b *testing.B, m M, elements []*element) {
	held := min(1_000, 2_000_000/len(elements)) // a plain map is held as a whole
	for b.Loop() {
		states := make([]M, held)
		before := live()
		for i := range states {
			m = c.with(m, elements[scattered(i, len(elements))])
			states[i] = m
		}
		b.ReportMetric(float64(live()-before)/float64(held), "B/snapshot")
		runtime.KeepAlive(states)
	}
	runtime.KeepAlive(m)
}

// live returns the bytes of what can be reached.
func live() int64 {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return int64(memory.HeapAlloc)
}

// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"maps"
	"strings"

	"github.com/benbjohnson/immutable"
	"github.com/cilium/statedb/part"
	google "github.com/google/btree"
	iradix "github.com/hashicorp/go-immutable-radix/v2"
	tidwall "github.com/tidwall/btree"

	"github.com/executorpods/watchsource/internal/sorted"
	"github.com/executorpods/watchsource/internal/vector"
)

// An element is what a map holds, under its key. The slot is its number among
// the elements, for a map that is addressed by number.
type element struct {
	key  string
	slot int
}

// A candidate is a kind of persistent map: the calls that the benchmarks make of
// one. M is a value that holds one state of the map.
type candidate[M any] struct {
	name    string
	of      func([]*element) M
	with    func(M, *element) M // in the place of the one under the same key, if any
	without func(M, *element) M
	get     func(M, *element) *element
	all     func(M, func(*element) bool) // in the order of the keys, if the map has one
}

// set makes a map by adding one element after the other.
func set[M any](m M, with func(M, *element) M) func([]*element) M {
	return func(elements []*element) M {
		m := m
		for _, e := range elements {
			m = with(m, e)
		}
		return m
	}
}

// contenders are all candidates. A further one takes a function like those
// below.
func contenders() []contender {
	return []contender{
		slotted(),
		sortedSet(),
		tidwallMap(8),
		tidwallMap(32),
		googleBTree(32),
		hashTrie(),
		immutableSortedMap(),
		partMap(),
		radixTree(),
		plainMap(),
	}
}

// slots keeps the order apart from the states, as the Store does, so only pods that come
// or leave cost a search.
type slots struct {
	order  sorted.Set[*element]
	states vector.Vector[element]
}

func byKey(a, b *element) int { return strings.Compare(a.key, b.key) }

func slotted() candidate[slots] {
	with := func(m slots, e *element) slots {
		if m.states.Get(e.slot) == nil {
			m.order = m.order.With(e)
		}
		m.states = m.states.With(e.slot, e)
		return m
	}
	return candidate[slots]{
		name: "internal/sorted+vector",
		of:   set(slots{order: sorted.New(byKey)}, with),
		with: with,
		without: func(m slots, e *element) slots {
			m.order, m.states = m.order.Without(e), m.states.With(e.slot, nil)
			return m
		},
		get: func(m slots, e *element) *element {
			found, ok := m.order.Get(e)
			if !ok {
				return nil
			}
			return m.states.Get(found.slot)
		},
		all: func(m slots, yield func(*element) bool) {
			for e := range m.order.All() {
				if !yield(m.states.Get(e.slot)) {
					return
				}
			}
		},
	}
}

func sortedSet() candidate[sorted.Set[*element]] {
	type set = sorted.Set[*element]
	return candidate[set]{
		name:    "internal/sorted",
		of:      func(elements []*element) set { return sorted.New(byKey, elements...) },
		with:    set.With,
		without: set.Without,
		get:     func(m set, e *element) *element { found, _ := m.Get(e); return found },
		all:     func(m set, yield func(*element) bool) { m.All()(yield) },
	}
}

// tidwallMap is written to after a Copy, which shares all nodes until then.
func tidwallMap(degree int) candidate[*tidwall.Map[string, *element]] {
	type tree = *tidwall.Map[string, *element]
	with := func(m tree, e *element) tree { m = m.Copy(); m.Set(e.key, e); return m }
	return candidate[tree]{
		name:    "tidwall/btree.Map-" + digits(degree),
		of:      set(tidwall.NewMap[string, *element](degree), with),
		with:    with,
		without: func(m tree, e *element) tree { m = m.Copy(); m.Delete(e.key); return m },
		get:     func(m tree, e *element) *element { found, _ := m.Get(e.key); return found },
		all: func(m tree, yield func(*element) bool) {
			m.Scan(func(_ string, e *element) bool { return yield(e) })
		},
	}
}

func googleBTree(degree int) candidate[*google.BTreeG[*element]] {
	type tree = *google.BTreeG[*element]
	with := func(m tree, e *element) tree { m = m.Clone(); m.ReplaceOrInsert(e); return m }
	return candidate[tree]{
		name:    "google/btree.BTreeG-" + digits(degree),
		of:      set(google.NewG(degree, func(a, b *element) bool { return a.key < b.key }), with),
		with:    with,
		without: func(m tree, e *element) tree { m = m.Clone(); m.Delete(e); return m },
		get:     func(m tree, e *element) *element { found, _ := m.Get(e); return found },
		all:     func(m tree, yield func(*element) bool) { m.Ascend(yield) },
	}
}

// hashTrie has no order.
func hashTrie() candidate[*immutable.Map[string, *element]] {
	type trie = *immutable.Map[string, *element]
	with := func(m trie, e *element) trie { return m.Set(e.key, e) }
	return candidate[trie]{
		name:    "benbjohnson/immutable.Map",
		of:      set(immutable.NewMap[string, *element](nil), with),
		with:    with,
		without: func(m trie, e *element) trie { return m.Delete(e.key) },
		get:     func(m trie, e *element) *element { found, _ := m.Get(e.key); return found },
		all: func(m trie, yield func(*element) bool) {
			for i := m.Iterator(); !i.Done(); {
				if _, e, _ := i.Next(); !yield(e) {
					return
				}
			}
		},
	}
}

func immutableSortedMap() candidate[*immutable.SortedMap[string, *element]] {
	type tree = *immutable.SortedMap[string, *element]
	with := func(m tree, e *element) tree { return m.Set(e.key, e) }
	return candidate[tree]{
		name:    "benbjohnson/immutable.SortedMap",
		of:      set(immutable.NewSortedMap[string, *element](nil), with),
		with:    with,
		without: func(m tree, e *element) tree { return m.Delete(e.key) },
		get:     func(m tree, e *element) *element { found, _ := m.Get(e.key); return found },
		all: func(m tree, yield func(*element) bool) {
			for i := m.Iterator(); !i.Done(); {
				if _, e, _ := i.Next(); !yield(e) {
					return
				}
			}
		},
	}
}

func partMap() candidate[part.Map[string, *element]] {
	type tree = part.Map[string, *element]
	with := func(m tree, e *element) tree { return m.Set(e.key, e) }
	return candidate[tree]{
		name:    "cilium/statedb/part.Map",
		of:      set(tree{}, with),
		with:    with,
		without: func(m tree, e *element) tree { return m.Delete(e.key) },
		get:     func(m tree, e *element) *element { found, _ := m.Get(e.key); return found },
		all: func(m tree, yield func(*element) bool) {
			m.All()(func(_ string, e *element) bool { return yield(e) })
		},
	}
}

func radixTree() candidate[*iradix.Tree[*element]] {
	type tree = *iradix.Tree[*element]
	with := func(m tree, e *element) tree { m, _, _ = m.Insert([]byte(e.key), e); return m }
	return candidate[tree]{
		name:    "hashicorp/go-immutable-radix",
		of:      set(iradix.New[*element](), with),
		with:    with,
		without: func(m tree, e *element) tree { m, _, _ = m.Delete([]byte(e.key)); return m },
		get:     func(m tree, e *element) *element { found, _ := m.Get([]byte(e.key)); return found },
		all: func(m tree, yield func(*element) bool) {
			m.Root().Walk(func(_ []byte, e *element) bool { return !yield(e) })
		},
	}
}

// plainMap is copied as a whole, and has no order.
func plainMap() candidate[map[string]*element] {
	type plain = map[string]*element
	return candidate[plain]{
		name: "map and maps.Clone",
		of: func(elements []*element) plain {
			m := plain{}
			for _, e := range elements {
				m[e.key] = e
			}
			return m
		},
		with:    func(m plain, e *element) plain { m = maps.Clone(m); m[e.key] = e; return m },
		without: func(m plain, e *element) plain { m = maps.Clone(m); delete(m, e.key); return m },
		get:     func(m plain, e *element) *element { return m[e.key] },
		all: func(m plain, yield func(*element) bool) {
			for _, e := range m {
				if !yield(e) {
					return
				}
			}
		},
	}
}

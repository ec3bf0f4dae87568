// SPDX-License-Identifier: Apache-2.0

package sorted

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests, 0 for a random one")

type pair struct{ key, value int }

func byKey(a, b pair) int { return cmp.Compare(a.key, b.key) }

// A set must behave like a map whose old states can be kept: after every step
// it equals the map, its nodes are well filled, and sets taken earlier have not
// changed.
func TestSetEqualsMap(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("replay with -seed=%d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))

	for round := range 30 {
		keys := 1 + random.IntN(1000)
		model := map[int]int{}
		var start []pair
		for range random.IntN(keys) {
			p := pair{random.IntN(keys), random.IntN(100)}
			start, model[p.key] = append(start, p), p.value
		}
		set := New(byKey, start...)
		check(t, set, model)

		type held struct {
			set   Set[pair]
			model map[int]int
		}
		var kept []held
		for step := range 2000 {
			key := random.IntN(keys)
			// Rounds lean towards growing or towards shrinking.
			if random.IntN(10) < 2+round%7 {
				set = set.With(pair{key, step})
				model[key] = step
			} else {
				set = set.Without(pair{key: key})
				delete(model, key)
			}
			if step%97 == 0 {
				check(t, set, model)
				kept = append(kept, held{set, maps.Clone(model)})
			}
		}
		for _, h := range kept {
			check(t, h.set, h.model)
		}
	}
}

func check(t *testing.T, set Set[pair], model map[int]int) {
	t.Helper()
	var want []pair
	for _, key := range slices.Sorted(maps.Keys(model)) {
		want = append(want, pair{key, model[key]})
	}
	if got := slices.Collect(set.All()); !slices.Equal(got, want) {
		t.Fatalf("All = %v, want %v", got, want)
	}
	if set.Len() != len(want) {
		t.Fatalf("Len = %d, want %d", set.Len(), len(want))
	}
	for _, probe := range []int{-1, 0, len(want) / 2, len(want), 1 << 20} {
		got, ok := set.Get(pair{key: probe})
		if value, want := model[probe]; ok != want || got.value != value {
			t.Fatalf("Get(%d) = %v %v, want %v %v", probe, got.value, ok, value, want)
		}
		from, _ := slices.BinarySearchFunc(want, pair{key: probe}, byKey)
		if got := slices.Collect(set.From(pair{key: probe})); !slices.Equal(got, want[from:]) {
			t.Fatalf("From(%d) = %v, want %v", probe, got, want[from:])
		}
	}
	if set.root != nil {
		checkShape(t, set.root, true)
	}
}

// checkShape returns the height of a tree and fails if it is not a B-tree.
func checkShape(t *testing.T, n *node[pair], root bool) int {
	t.Helper()
	if len(n.items) > maxItems || !root && len(n.items) < minItems || len(n.items) == 0 {
		t.Fatalf("a node has %d items, root %v, want %d to %d", len(n.items), root, minItems, maxItems)
	}
	if n.kids == nil {
		return 1
	}
	if len(n.kids) != len(n.items)+1 {
		t.Fatalf("a node with %d items has %d kids, want %d", len(n.items), len(n.kids), len(n.items)+1)
	}
	height := checkShape(t, n.kids[0], false)
	for _, kid := range n.kids[1:] {
		if h := checkShape(t, kid, false); h != height {
			t.Fatalf("leaves at heights %d and %d, want one height", height, h)
		}
	}
	return height + 1
}

func TestNewOfEverySize(t *testing.T) {
	for n := range 700 {
		model := map[int]int{}
		var elements []pair
		for i := range n {
			elements, model[i] = append(elements, pair{i, i}), i
		}
		check(t, New(byKey, elements...), model)
	}
}

func TestZeroSetIsEmpty(t *testing.T) {
	var s Set[pair]
	for range s.All() {
		t.Fatal("the zero Set has an element, want none")
	}
	for range s.From(pair{}) {
		t.Fatal("the zero Set has an element, want none")
	}
	if _, ok := s.Get(pair{}); ok || s.Len() != 0 {
		t.Fatal("the zero Set is not empty, want no element")
	}
}

func TestAllStopsEarly(t *testing.T) {
	set := New(byKey)
	for i := range 1000 {
		set = set.With(pair{key: i})
	}
	for _, stop := range []int{0, 1, 16, 500, 999} {
		n := 0
		for p := range set.All() {
			if p.key == stop {
				break
			}
			n++
		}
		if n != stop {
			t.Errorf("saw %d elements, want %d", n, stop)
		}
		for p := range set.From(pair{key: stop / 2}) {
			if p.key == stop {
				break
			}
		}
	}
}

// The cost of a change grows with the height of the tree only.
func BenchmarkWith(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("elements=%d", n), func(b *testing.B) {
			elements := make([]pair, n)
			for i := range elements {
				elements[i].key = i
			}
			set := New(byKey, elements...)
			random := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				set = set.With(pair{key: random.IntN(n)})
			}
		})
	}
}

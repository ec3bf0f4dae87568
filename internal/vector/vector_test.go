// SPDX-License-Identifier: Apache-2.0

package vector

import (
	"flag"
	"maps"
	"math/rand/v2"
	"testing"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests, 0 for a random one")

// A vector must behave like a map whose old states can be kept.
func TestVectorEqualsMap(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("replay with -seed=%d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	type held struct {
		vector Vector[int]
		model  map[int]*int
	}
	for range 30 {
		reach := 1 << random.IntN(17) // up to six levels
		var v Vector[int]
		model := map[int]*int{}
		var kept []held
		for step := range 1000 {
			i := random.IntN(reach)
			if random.IntN(3) == 0 {
				v = v.With(i, nil)
				delete(model, i)
			} else {
				v = v.With(i, &step)
				model[i] = &step
			}
			if step%97 == 0 {
				kept = append(kept, held{v, maps.Clone(model)})
			}
		}
		for _, h := range append(kept, held{v, model}) {
			check(t, h.vector, h.model, reach)
		}
	}
}

func check(t *testing.T, v Vector[int], model map[int]*int, reach int) {
	t.Helper()
	for i := range reach {
		if got := v.Get(i); got != model[i] {
			t.Fatalf("Get(%d) = %v, want %v", i, got, model[i])
		}
	}
	for _, beyond := range []int{reach, reach + width, reach * width, 1 << 40} {
		if v.Get(beyond) != nil {
			t.Fatalf("Get(%d) finds an element, want none", beyond)
		}
	}
}

func TestOfEverySize(t *testing.T) {
	for _, n := range []int{
		0, 1, width - 1, width, width + 1,
		width*width - 1, width * width, width*width + 1, width*width*width + 1,
	} {
		elements := make([]*int, n)
		model := map[int]*int{}
		for i := range elements {
			elements[i] = &i
			model[i] = &i
		}
		v := Of(elements)
		check(t, v, model, n)
		one := 1
		model[n] = &one
		check(t, v.With(n, &one), model, n+1)
		delete(model, n)
		check(t, v, model, n)
	}
}

// SPDX-License-Identifier: Apache-2.0

package claim_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/executorpods/watchsource/internal/claim"
)

type (
	sized    struct{ _ int }
	sizeless struct{}
	named    map[string]int
)

func TestIDsOf(t *testing.T) {
	one, other := &sized{}, &sized{}
	table, channel := map[string]int{}, make(chan int)
	for _, c := range []struct {
		name string
		a, b any
		// ids is whether a has an id, and same whether b has the same one.
		ids, same bool
	}{
		{name: "one pointer", a: one, b: one, ids: true, same: true},
		{name: "two pointers", a: one, b: other, ids: true},
		{name: "pointers without a size", a: &sizeless{}, b: &sizeless{}},
		{name: "a nil pointer", a: (*sized)(nil), b: (*sized)(nil)},
		{name: "one map", a: table, b: table, ids: true, same: true},
		{name: "one map of two types", a: table, b: named(table), ids: true},
		{name: "two maps", a: table, b: map[string]int{}, ids: true},
		{name: "a nil map", a: named(nil), b: named(nil)},
		{name: "one channel", a: channel, b: channel, ids: true, same: true},
		{name: "a nil channel", a: (chan int)(nil), b: (chan int)(nil)},
		{name: "equal structs", a: sized{}, b: sized{}},
		{name: "structs that cannot be compared", a: struct{ f func() }{}, b: struct{ f func() }{}},
		{name: "functions", a: func() {}, b: func() {}},
		{name: "slices", a: []int{1}, b: []int{1}},
		{name: "nil", a: nil, b: nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := claim.Claim{AppID: "a", Stores: claim.IDsOf(c.a)}
			b := claim.Claim{AppID: "b", Stores: claim.IDsOf(c.b)}
			if got := len(a.Stores) > 0; got != c.ids {
				t.Errorf("has an id: %v, want %v", got, c.ids)
			}
			if other := a.Take(); other != nil {
				t.Fatalf("the store is that of %q, want free", other.AppID)
			}
			defer a.Release()
			other := b.Take()
			defer b.Release()
			if got := other != nil; got != c.same {
				t.Errorf("the second claim is refused: %v, want %v", got, c.same)
			}
			if other != nil && other.AppID != "a" {
				t.Errorf("the other claim is that of %q, want a", other.AppID)
			}
		})
	}
}

// A claim takes all its stores or none, and releases only its own.
func TestAllStoresOrNone(t *testing.T) {
	first := claim.Claim{AppID: "first", Stores: []any{"1"}}
	both := claim.Claim{AppID: "both", Stores: []any{"0", "1", "0"}}
	if other := first.Take(); other != nil {
		t.Fatalf("a free store is that of %q", other.AppID)
	}
	if other := both.Take(); other != &first {
		t.Fatalf("Take = %v, want the first claim", other)
	}
	both.Release()
	zero := claim.Claim{AppID: "zero", Stores: []any{"0"}}
	if other := zero.Take(); other != nil {
		t.Errorf("a store of a claim that was refused is that of %q, want free", other.AppID)
	}
	zero.Release()
	if other := both.Take(); other != &first {
		t.Errorf("Take = %v after the refused claim was released, want the first claim", other)
	}
	first.Release()
	if other := both.Take(); other != nil {
		t.Errorf("the stores are those of %q after Release, want free", other.AppID)
	}
	both.Release()
	if other := zero.Take(); other != nil {
		t.Errorf("a store that a claim has twice is that of %q after Release, want free", other.AppID)
	}
	zero.Release()
}

// Of many claims on one store at once, one takes it.
func TestOneOfManyClaims(t *testing.T) {
	var taken atomic.Int32
	var taking sync.WaitGroup
	claims := make([]claim.Claim, 100)
	for i := range claims {
		claims[i].Stores = []any{"a", "b"}
		taking.Go(func() {
			if claims[i].Take() == nil {
				taken.Add(1)
			}
		})
	}
	taking.Wait()
	if taken.Load() != 1 {
		t.Errorf("%d of 100 claims have taken the stores, want 1", taken.Load())
	}
	for i := range claims {
		claims[i].Release()
	}
}

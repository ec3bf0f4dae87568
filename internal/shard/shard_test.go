// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"math/bits"
	"testing"

	"k8s.io/apimachinery/pkg/util/rand"
)

var counts = []int{1, 2, 3, 4, 5, 7, 10, 16, 31, 100, 1000, 65537, math.MaxInt32, math.MaxInt}

// The ranges begin at 0, end at 2^64, and each begins where the one before it ends, so that
// each hash is in exactly one. The last hash of a range and the next one are in two.
func TestRangesHaveEachHashOnce(t *testing.T) {
	for _, count := range counts {
		for _, index := range []int{0, 1, 2, count / 3, count / 2, count - 2, count - 1} {
			if index < 0 || index >= count {
				continue
			}
			r := Of(index, count)
			if r.first > r.last || !r.has(r.first) || !r.has(r.last) {
				t.Errorf("shard %d of %d is from %#x to %#x, want it to have both", index, count, r.first, r.last)
			}
			if want := exactBorder(index, count); want.Cmp(new(big.Int).SetUint64(r.first)) != 0 {
				t.Errorf("shard %d of %d begins at %#x, want %#x", index, count, r.first, want)
			}
			if index == 0 && r.first != 0 {
				t.Errorf("the first of %d shards begins at %#x, want 0", count, r.first)
			}
			if index == count-1 {
				if r.last != math.MaxUint64 {
					t.Errorf("the last of %d shards ends with %#x, want %#x", count, r.last, uint64(math.MaxUint64))
				}
				continue
			}
			next := Of(index+1, count)
			if next.first != r.last+1 || r.has(next.first) || next.has(r.last) {
				t.Errorf("shards %d and %d of %d meet at %#x and %#x, want neighbours", index, index+1, count, r.last, next.first)
			}
		}
	}
}

// exactBorder is index * 2^64 / count rounded up, in numbers of any size.
func exactBorder(index, count int) *big.Int {
	product := new(big.Int).Lsh(big.NewInt(int64(index)), 64)
	product.Add(product, big.NewInt(int64(count)-1))
	return product.Div(product, big.NewInt(int64(count)))
}

// Each namespace is in exactly one shard, the documented one, as a string and as bytes.
func TestEachNamespaceInOneShard(t *testing.T) {
	namespaces := []string{"", "default", "kube-system", "a", rand.String(63)}
	for i := range 500 {
		namespaces = append(namespaces, fmt.Sprintf("team-%d", i), rand.String(1+i%63))
	}
	for _, count := range []int{1, 2, 3, 5, 7, 16, 31} {
		for _, namespace := range namespaces {
			owners := 0
			for index := range count {
				r := Of(index, count)
				owns := r.Owns(namespace)
				if owns {
					owners++
				}
				if part, _ := bits.Mul64(hash(namespace), uint64(count)); owns != (part == uint64(index)) {
					t.Errorf("shard %d of %d: Owns(%q) = %v, want it in shard %d", index, count, namespace, owns, part)
				}
				if r.OwnsBytes([]byte(namespace)) != owns {
					t.Errorf("shard %d of %d: Owns(%q) = %v, OwnsBytes differs", index, count, namespace, owns)
				}
			}
			if owners != 1 {
				t.Errorf("%d of %d shards have namespace %q, want 1", owners, count, namespace)
			}
		}
	}
	if all := (*Range)(nil); !all.Owns("default") || !all.OwnsBytes([]byte("default")) {
		t.Error("a nil range lacks a namespace, want all")
	}
}

// The hash is that of hash/fnv, and of the known answers for FNV-1a.
func TestHash(t *testing.T) {
	for text, want := range map[string]uint64{
		"":       0xcbf29ce484222325,
		"a":      0xaf63dc4c8601ec8c,
		"foobar": 0x85944171f73967e8,
	} {
		if got := hash(text); got != want {
			t.Errorf("hash(%q) = %#x, want %#x", text, got, want)
		}
	}
	for range 100 {
		text := rand.String(63)
		want := fnv.New64a()
		_, _ = want.Write([]byte(text))
		if got := hash(text); got != want.Sum64() {
			t.Errorf("hash(%q) = %#x, want %#x", text, got, want.Sum64())
		}
	}
}

// The selector is in the form that kube-apiserver parses: 16 digits, and 2^64 at the end.
func TestSelector(t *testing.T) {
	for _, test := range []struct {
		index, count int
		want         string
	}{
		{0, 2, "shardRange(object.metadata.namespace, '0x0000000000000000', '0x8000000000000000')"},
		{1, 2, "shardRange(object.metadata.namespace, '0x8000000000000000', '0x10000000000000000')"},
		{1, 3, "shardRange(object.metadata.namespace, '0x5555555555555556', '0xaaaaaaaaaaaaaaab')"},
		{2, 3, "shardRange(object.metadata.namespace, '0xaaaaaaaaaaaaaaab', '0x10000000000000000')"},
		{0, 100, "shardRange(object.metadata.namespace, '0x0000000000000000', '0x028f5c28f5c28f5d')"},
	} {
		if got := Of(test.index, test.count).Selector(); got != test.want {
			t.Errorf("the selector of shard %d of %d is %s, want %s", test.index, test.count, got, test.want)
		}
	}
}

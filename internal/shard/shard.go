// SPDX-License-Identifier: Apache-2.0

// Package shard divides namespaces by the hash of their names, as the parameter
// shardSelector of the Kubernetes API does (KEP-5866, k8s.io/apimachinery/pkg/sharding).
package shard

import (
	"fmt"
	"math"
	"math/bits"
)

// A Range has the namespaces whose 64-bit FNV-1a hashes lie between two numbers. A nil Range
// has all namespaces.
type Range struct{ first, last uint64 } // both included

// Of returns one of count ranges that together have each namespace once: the one with the
// namespaces of which hash * count / 2^64, rounded down, is index. The index is from 0 to count-1.
func Of(index, count int) *Range {
	r := &Range{first: border(index, count), last: math.MaxUint64}
	if index+1 < count {
		r.last = border(index+1, count) - 1
	}
	return r
}

// border returns the first hash of a range, index * 2^64 / count rounded up.
func border(index, count int) uint64 {
	quotient, remainder := bits.Div64(uint64(index), 0, uint64(count))
	if remainder > 0 {
		quotient++
	}
	return quotient
}

// Owns reports whether the range has a namespace.
func (r *Range) Owns(namespace string) bool { return r == nil || r.has(hash(namespace)) }

// OwnsBytes is Owns for the bytes of a message.
func (r *Range) OwnsBytes(namespace []byte) bool { return r == nil || r.has(hash(namespace)) }

func (r *Range) has(hash uint64) bool { return r.first <= hash && hash <= r.last }

// Selector returns the value of shardSelector. kube-apiserver wants 16 hexadecimal digits,
// and 2^64 as the end of the last range (k8s.io/apiserver/pkg/sharding).
func (r *Range) Selector() string {
	end := "0x10000000000000000"
	if r.last < math.MaxUint64 {
		end = fmt.Sprintf("0x%016x", r.last+1)
	}
	return fmt.Sprintf("shardRange(object.metadata.namespace, '0x%016x', '%s')", r.first, end)
}

// hash is 64-bit FNV-1a. That of hash/fnv takes bytes only, and allocates.
func hash[Text string | []byte](text Text) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	sum := uint64(offset)
	for i := range len(text) {
		sum = (sum ^ uint64(text[i])) * prime
	}
	return sum
}

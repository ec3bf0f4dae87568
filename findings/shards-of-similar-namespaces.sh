#!/usr/bin/env bash
# The parameter shardSelector of a LIST or a WATCH (KEP-5866) divides objects by ranges of 64-bit
# FNV-1a hashes. The last characters of a text change only the lower bits of such a hash, so
# namespaces whose names differ only there are in one range: of team-00 to team-99, all are in
# one of 2, 4, 8 and 16 equal ranges. With two or more replicas, one of them gets all.
# UIDs divide evenly.
#
# The parser refuses the example of the documentation of ListOptions.ShardSelector,
# shardRange(object.metadata.uid, '0x0', '0x8000000000000000'): it wants 16 digits.
#
# Seen with k8s.io/apimachinery v0.37.2 (pkg/sharding) and k8s.io/apiserver v0.37.2
# (pkg/sharding). Needs Go 1.26 and about a minute the first time.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off

cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	k8s.io/api v0.37.2
	k8s.io/apimachinery v0.37.2
	k8s.io/apiserver v0.37.2
)
MOD

cat >main.go <<'GO'
package main

import (
	"fmt"
	"math/big"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/sharding"
)

// border returns i * 2^64 / n with 16 digits.
func border(i, n int) string {
	all := new(big.Int).Lsh(big.NewInt(int64(i)), 64)
	return fmt.Sprintf("0x%016x", all.Div(all, big.NewInt(int64(n))))
}

// count returns the number of pods in each of n equal ranges.
func count(field string, n int, pods []*v1.Pod) []int {
	counts := make([]int, n)
	for i := range n {
		selector, err := sharding.Parse(fmt.Sprintf("shardRange(object.metadata.%s, '%s', '%s')", field, border(i, n), border(i+1, n)))
		if err != nil {
			panic(err)
		}
		for _, pod := range pods {
			matches, err := selector.Matches(pod)
			if err != nil {
				panic(err)
			}
			if matches {
				counts[i]++
			}
		}
	}
	return counts
}

func main() {
	var pods []*v1.Pod
	for i := range 100 {
		pods = append(pods, &v1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: "exec", Namespace: fmt.Sprintf("team-%02d", i), UID: types.UID(uuid.NewUUID()),
		}})
	}
	for _, n := range []int{2, 4, 8, 16} {
		full := 0
		for _, of := range count("namespace", n, pods) {
			if of == len(pods) {
				full++
			}
		}
		fmt.Printf("namespaces, %d ranges: one has all: %v\n", n, full == 1)
	}
	even := true
	for _, of := range count("uid", 2, pods) {
		even = even && of > 20
	}
	fmt.Printf("uids, 2 ranges: each has more than a fifth: %v\n", even)
	_, err := sharding.Parse("shardRange(object.metadata.uid, '0x0', '0x8000000000000000')")
	fmt.Println("documented example:", err)
}
GO

seen=$(go run . 2>build.log) || { cat build.log >&2; exit 1; }
echo "$seen"
expected='namespaces, 2 ranges: one has all: true
namespaces, 4 ranges: one has all: true
namespaces, 8 ranges: one has all: true
namespaces, 16 ranges: one has all: true
uids, 2 ranges: each has more than a fifth: true
documented example: hexStart must be a 0x-prefixed 16-digit hex value, got "0x0" (did you mean "0x0000000000000000"?)'
if [ "$seen" != "$expected" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi

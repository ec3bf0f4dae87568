// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"slices"
	"testing"
)

// Names that differ in one digit, as those of a StatefulSet do, get similar shares.
func TestShares(t *testing.T) {
	for _, row := range []struct{ replicas, min, max int }{
		{1, Buckets, Buckets},
		{2, 10, 22},
		{3, 6, 16},
		{5, 2, 12},
	} {
		var members []string
		for i := range row.replicas {
			members = append(members, fmt.Sprint("scheduler-", i))
		}
		shares := map[string]int{}
		for bucket := range Buckets {
			shares[ownerOf(bucket, members)]++
		}
		for _, member := range members {
			if got := shares[member]; got < row.min || got > row.max {
				t.Errorf("%d replicas: %s owns %d buckets, want %d to %d", row.replicas, member, got, row.min, row.max)
			}
		}
	}
}

// The replicas may name each other in any order and agree on the owners. If a replica
// leaves, only its own applications move.
func TestOwnerOf(t *testing.T) {
	for i := range 100 {
		app := fmt.Sprint("app-", i)
		owner := OwnerOf(app, []string{"a", "b", "c"})
		if got := OwnerOf(app, []string{"c", "a", "b"}); got != owner {
			t.Errorf("%s belongs to %s in one order and to %s in another, want the same", app, owner, got)
		}
		if got := OwnerOf(app, []string{"a", "b"}); owner != "c" && got != owner {
			t.Errorf("%s goes from %s to %s when c leaves, want %s", app, owner, got, owner)
		}
	}
}

// Application ids that differ in their last digits are spread over all buckets.
func TestBuckets(t *testing.T) {
	const apps = 100 * Buckets
	var sizes [Buckets]int
	for i := range apps {
		sizes[BucketOf(fmt.Sprintf("spark-%016x", i))]++
	}
	for bucket, got := range sizes {
		if got < 60 || got > 140 {
			t.Errorf("bucket %d has %d applications, want about %d", bucket, got, apps/Buckets)
		}
	}
}

// Names with different beginnings are spread over the shards. Names that differ in their last
// characters are not: the README warns of that.
func TestShards(t *testing.T) {
	const namespaces = 100 * Buckets
	var sizes, similar [Buckets]int
	for i := range namespaces {
		sizes[ShardOf(fmt.Sprintf("%d-jobs", i))]++
		similar[ShardOf(fmt.Sprintf("team-%02d", i%100))]++
	}
	for bucket, got := range sizes {
		if got < 60 || got > 140 {
			t.Errorf("bucket %d has %d namespaces, want about %d", bucket, got, namespaces/Buckets)
		}
	}
	if got := slices.Max(similar[:]); got < namespaces/2 {
		t.Errorf("the fullest bucket has %d of %d similar names, want most: has the hash changed?", got, namespaces)
	}
}

func TestClaimsText(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"", ""},
		{"0", "0"},
		{"31,7", "7,31"},
		{"32,-1,x,,5", "5"}, // of a fleet with more buckets, or no numbers
	} {
		if got := formatClaims(parseClaims(row.text)); got != row.want {
			t.Errorf("claims %q read as %q, want %q", row.text, got, row.want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"hash/fnv"
	"math/bits"
	"slices"
	"strconv"

	"github.com/dgryski/go-rendezvous"
	"github.com/executorpods/watchsource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

const (
	// Buckets is the number of parts into which the applications are divided. All replicas
	// and all executors in a cluster must use the same number.
	Buckets = 32
	// BucketLabel is the label of an executor with the bucket of its application. The
	// platform sets it when it creates the pod, to the value of [BucketOf].
	BucketLabel = "fleet.example.com/bucket"
)

// BucketOf returns the bucket of an application, from 0 to Buckets-1.
func BucketOf(appID string) int { return int(hash(appID) % Buckets) }

// ShardOf returns the bucket of the applications in a namespace if the fleet divides them by
// namespace, from 0 to Buckets-1. The API server and WithShard know no other hash than FNV-1a,
// so namespaces whose names differ only in the last characters are in the same bucket.
func ShardOf(namespace string) int {
	shard, _ := bits.Mul64(fnv1a(namespace), Buckets)
	return int(shard)
}

// OwnerOf returns the replica that should own an application, if these replicas are live.
// The order of the names does not matter.
func OwnerOf(appID string, replicas []string) string {
	return ownerOf(BucketOf(appID), slices.Sorted(slices.Values(replicas)))
}

// ownerOf returns the member that should own a bucket, by rendezvous hashing: if a member
// leaves, only its own buckets move. The members are sorted.
func ownerOf(bucket int, members []string) string {
	return rendezvous.New(members, hash).Lookup("bucket-" + strconv.Itoa(bucket))
}

// hash is FNV-1a with the finalizer of MurmurHash3. FNV alone maps names that differ only
// in their last digit to neighbours.
func hash(s string) uint64 {
	x := fnv1a(s)
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func fnv1a(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// selectorOf selects the executors of an application in a bucket. The API server then
// sends the pods of this bucket only.
func selectorOf(bucket int) func(appID string) labels.Selector {
	return func(appID string) labels.Selector {
		return labels.NewSelector().Add(
			equals(watchsource.LabelRole, watchsource.RoleExecutor),
			equals(BucketLabel, strconv.Itoa(bucket)),
			equals(watchsource.LabelApp, appID),
		)
	}
}

func equals(key, value string) labels.Requirement {
	requirement, err := labels.NewRequirement(key, selection.Equals, []string{value})
	if err != nil {
		panic(err) // the keys are constants; an invalid application id has no pods
	}
	return *requirement
}

// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// shardRange selects the pods of which a field has a hash in a range. The borders are
// hexadecimal numbers of 16 digits, or 2^64.
type shardRange struct {
	field      string
	start, end string // the end is not included
}

const (
	byUID       = "object.metadata.uid"
	byNamespace = "object.metadata.namespace"

	endOfHashes = "10000000000000000" // 2^64
)

// shardCall is what a real server parses as an expression in CEL.
var shardCall = regexp.MustCompile(`^\s*shardRange\(\s*([a-z.]+)\s*,\s*'0x([0-9a-f]+)'\s*,\s*'0x([0-9a-f]+)'\s*\)\s*$`)

// selectShard adds the shard that the request selects to its selection.
func (c *call) selectShard() *apierrors.StatusError {
	if c.Verb&(List|Watch|StreamingList) == 0 || c.ShardSelector == "" {
		return nil
	}
	for call := range strings.SplitSeq(c.ShardSelector, "||") {
		r, err := parseShardRange(call)
		if err != nil {
			return apierrors.NewBadRequest(fmt.Sprintf("invalid shard selector: %v", err))
		}
		if len(c.selection.shards) > 0 && r.field != c.selection.shards[0].field {
			return apierrors.NewBadRequest("invalid shard selector: all shard ranges must use the same field")
		}
		c.selection.shards = append(c.selection.shards, r)
	}
	return nil
}

func parseShardRange(call string) (shardRange, error) {
	parts := shardCall.FindStringSubmatch(call)
	if parts == nil {
		return shardRange{}, fmt.Errorf("%q is not a call of shardRange", call)
	}
	r := shardRange{field: parts[1], start: parts[2], end: parts[3]}
	switch {
	case r.field != byUID && r.field != byNamespace:
		return r, fmt.Errorf("unsupported field path %q", r.field)
	case !isHash(r.start), !isHash(r.end):
		return r, fmt.Errorf("the borders in %q must have 16 digits, or be 0x%s", call, endOfHashes)
	case !less(r.start, r.end):
		return r, fmt.Errorf("the start of %q must be less than its end", call)
	}
	return r, nil
}

func isHash(digits string) bool { return len(digits) == 16 || digits == endOfHashes }

// less compares two hashes. Only 2^64 has 17 digits.
func less(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }

// inShards reports whether a pod is in one of the ranges.
func inShards(ranges []shardRange, pod *corev1.Pod) bool {
	if ranges == nil {
		return true
	}
	value := pod.Namespace
	if ranges[0].field == byUID {
		value = string(pod.UID)
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(value))
	hash := fmt.Sprintf("%016x", sum.Sum64())
	return slices.ContainsFunc(ranges, func(r shardRange) bool { return !less(hash, r.start) && less(hash, r.end) })
}

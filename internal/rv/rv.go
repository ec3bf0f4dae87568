// SPDX-License-Identifier: Apache-2.0

// Package rv compares the resource versions of one resource.
//
// They may be compared as numbers (KEP-5504), within one history of the
// server: a server that was restored from a backup counts its versions again.
// If a version is missing or is no number, as with fakes and some servers that
// only resemble Kubernetes, there is no order, and the version that arrives
// last counts as the newest.
package rv

import (
	"strconv"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Older reports whether version a is known to precede b.
func Older(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

// Number returns a version as a number. It returns 0 for a version that cannot be parsed.
func Number(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Newer returns the later one of the version held and the version just seen.
// "0" means any version, so it never replaces the one held.
func Newer(held, seen string) string {
	if seen == "" || seen == "0" || Older(seen, held) {
		return held
	}
	return seen
}

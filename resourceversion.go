// SPDX-License-Identifier: Apache-2.0

package watchsource

import "k8s.io/apimachinery/pkg/util/resourceversion"

// Resource versions of one resource may be compared as numbers (KEP-5504).
// Where one is missing or is no number, as with fakes and some servers that
// only resemble Kubernetes, there is no order, and the one that comes last is
// taken for the newest.

// older reports whether version a is known to precede b.
func older(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

// newer returns the later of the version held and the one just seen. "0" is the
// version of nothing: to watch from there means from anywhere.
func newer(held, seen string) string {
	if seen == "" || seen == "0" || older(seen, held) {
		return held
	}
	return seen
}

// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource"
)

// Inconsistency describes the first place where the order, a count or a look-up of a
// snapshot does not agree with its contents. It returns "" for a consistent snapshot.
func Inconsistency(s watchsource.Snapshot) string {
	counts := map[watchsource.State]int{}
	byName, byID := map[string]watchsource.Executor{}, map[string]watchsource.Executor{}
	last, n := watchsource.Executor{}, 0
	for e := range s.All() {
		if n > 0 && (e.Name < last.Name || e.Name == last.Name && e.Namespace <= last.Namespace) {
			return fmt.Sprintf("%s/%s comes after %s/%s, want it before", e.Namespace, e.Name, last.Namespace, last.Name)
		}
		last, n = e, n+1
		counts[e.State]++
		if _, ok := byName[e.Name]; !ok {
			byName[e.Name] = e
		}
		if other, ok := byID[e.ID]; !ok || e.CreatedAt.After(other.CreatedAt) {
			byID[e.ID] = e
		}
	}
	if s.Len() != n {
		return fmt.Sprintf("Len is %d, want %d as in All", s.Len(), n)
	}
	if counts[watchsource.Deleted] > 0 {
		return fmt.Sprintf("%d executors are Deleted, want none", counts[watchsource.Deleted])
	}
	for state := range watchsource.Deleted + 2 {
		if s.Count(state) != counts[state] {
			return fmt.Sprintf("Count(%v) is %d, want %d as in All", state, s.Count(state), counts[state])
		}
	}
	for name, want := range byName {
		if got, ok := s.Get(name); !ok || got != want {
			return fmt.Sprintf("Get(%q) is %v, %+v, want %+v", name, ok, got, want)
		}
	}
	for id, youngest := range byID {
		got, ok := s.ByID(id)
		if id != "" && (!ok || got.ID != id || !got.CreatedAt.Equal(youngest.CreatedAt) || !slices.Contains(slices.Collect(s.All()), got)) {
			return fmt.Sprintf("ByID(%q) is %v, %+v, want %+v or another of that second", id, ok, got, youngest)
		}
	}
	return ""
}

// Regression describes the first value that is older in the second snapshot than in the
// first. It returns "" if nothing is older.
func Regression(before, after watchsource.Snapshot) string {
	versions := map[types.UID]string{}
	for e := range before.All() {
		versions[podKey(e)] = e.ResourceVersion
	}
	for e := range after.All() {
		if v := versions[podKey(e)]; precedes(e.ResourceVersion, v) {
			return fmt.Sprintf("%s is at version %s after version %s", e.Name, e.ResourceVersion, v)
		}
	}
	if a, b := before.ResourceVersion(), after.ResourceVersion(); precedes(b, a) {
		return fmt.Sprintf("the snapshot's version is %s after %s", b, a)
	}
	if before.Complete() && !after.Complete() || after.SyncedAt().Before(before.SyncedAt()) {
		return fmt.Sprintf("complete %v, synced at %v, after complete %v, synced at %v", after.Complete(), after.SyncedAt(), before.Complete(), before.SyncedAt())
	}
	return ""
}

// podKey returns a key that differs between a pod and a later pod of the same name.
func podKey(e watchsource.Executor) types.UID {
	if e.UID != "" {
		return e.UID
	}
	return types.UID(e.Namespace + "/" + e.Name)
}

// precedes reports whether version a is known to be older than b. No object has the
// version "0" (KEP-5504).
func precedes(a, b string) bool {
	if a == "0" || b == "0" {
		return false
	}
	m, err := strconv.ParseUint(a, 10, 64)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(b, 10, 64)
	return err == nil && m < n && n-m < historyGap // a larger gap separates two histories
}

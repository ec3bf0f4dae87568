// SPDX-License-Identifier: Apache-2.0

// Package roster knows which receivers the events of a pod belong to.
package roster

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// A Roster has the members of each application, and the application of each pod that was shown.
// It is not safe for concurrent use.
type Roster[M comparable] struct {
	// members has those of each application. A slice is replaced, not changed.
	members map[string][]M
	// owners has the application of each pod.
	owners map[types.UID]string
	// pods counts the pods of each application.
	pods map[string]int
}

// New returns a Roster without members and pods.
func New[M comparable]() Roster[M] {
	return Roster[M]{members: map[string][]M{}, owners: map[types.UID]string{}, pods: map[string]int{}}
}

// Add adds a member of an application.
func (r *Roster[M]) Add(appID string, m M) {
	r.members[appID] = append(slices.Clone(r.members[appID]), m)
}

// Remove removes a member. It reports whether none is left, of any application.
func (r *Roster[M]) Remove(appID string, m M) (last bool) {
	left := slices.DeleteFunc(slices.Clone(r.members[appID]), func(other M) bool { return other == m })
	if len(left) > 0 {
		r.members[appID] = left
	} else {
		delete(r.members, appID)
	}
	return len(r.members) == 0
}

// All returns the members in no order.
func (r *Roster[M]) All() []M { return slices.Concat(slices.Collect(maps.Values(r.members))...) }

// Owners returns the members of the application that a pod was last shown with.
func (r *Roster[M]) Owners(uid types.UID) []M { return r.members[r.owners[uid]] }

// HasPod reports whether a pod of an application was shown and has not left.
func (r *Roster[M]) HasPod(appID string) bool { return r.pods[appID] > 0 }

// Wants reports whether an application has a member, or the application that the pod was last
// shown with.
func (r *Roster[M]) Wants(uid, appID []byte) bool {
	if _, ok := r.members[string(appID)]; ok {
		return true
	}
	_, ok := r.members[r.owners[types.UID(uid)]]
	return ok
}

// Replace notes a list of all pods, with the application of each.
func (r *Roster[M]) Replace(owners map[types.UID]string) {
	r.owners, r.pods = owners, map[string]int{}
	for _, appID := range owners {
		r.pods[appID]++
	}
}

// Shown notes that a pod was shown with an application. It returns the members here, of that
// application, and the members of the application before, if that was another.
func (r *Roster[M]) Shown(uid types.UID, appID string) (here, before []M) {
	if owner, known := r.owners[uid]; !known || owner != appID {
		before = r.forget(uid)
		r.owners[uid] = appID
		r.pods[appID]++
	}
	return r.members[appID], before
}

// Deleted is Shown for a pod that is gone.
func (r *Roster[M]) Deleted(uid types.UID, appID string) (here, before []M) {
	owner, known := r.owners[uid]
	before = r.forget(uid)
	if known && owner == appID {
		before = nil
	}
	return r.members[appID], before
}

// forget forgets a pod. It returns the members of the application that the pod was shown with.
func (r *Roster[M]) forget(uid types.UID) []M {
	owner, known := r.owners[uid]
	if !known {
		return nil
	}
	delete(r.owners, uid)
	if r.pods[owner]--; r.pods[owner] == 0 {
		delete(r.pods, owner)
	}
	return r.members[owner]
}

// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// A roster says which members of a connection a pod belongs to. The connection guards it.
type roster struct {
	// members are the members of each application. A slice is replaced, not changed.
	members map[string][]*member
	// owners has the application of each pod.
	owners map[types.UID]string
	// pods counts the pods of each application.
	pods map[string]int
}

func newRoster() roster {
	return roster{members: map[string][]*member{}, owners: map[types.UID]string{}, pods: map[string]int{}}
}

func (r *roster) add(appID string, m *member) {
	r.members[appID] = append(slices.Clone(r.members[appID]), m)
}

// remove reports whether no member is left.
func (r *roster) remove(appID string, m *member) (last bool) {
	left := slices.DeleteFunc(slices.Clone(r.members[appID]), func(other *member) bool { return other == m })
	if len(left) > 0 {
		r.members[appID] = left
	} else {
		delete(r.members, appID)
	}
	return len(r.members) == 0
}

// all returns the members in no order.
func (r *roster) all() []*member {
	return slices.Concat(slices.Collect(maps.Values(r.members))...)
}

// ownersOf returns the members of the application that has a pod.
func (r *roster) ownersOf(uid types.UID) []*member { return r.members[r.owners[uid]] }

// wants reports whether an application has a member, or whether the pod has belonged to one that has.
func (r *roster) wants(uid, appID []byte) bool {
	if _, ok := r.members[string(appID)]; ok {
		return true
	}
	_, ok := r.members[r.owners[types.UID(uid)]]
	return ok
}

// replace notes the applications of all pods.
func (r *roster) replace(owners map[types.UID]string) {
	r.owners, r.pods = owners, map[string]int{}
	for _, appID := range owners {
		r.pods[appID]++
	}
}

// route notes an event of a pod. It returns the members of the pod's application, and those of
// the application that the pod belonged to before its label changed.
func (r *roster) route(event watch.EventType, uid types.UID, appID string) (here, before []*member) {
	owner, known := r.owners[uid]
	if known && owner != appID {
		before = r.members[owner]
	}
	if known && (owner != appID || event == watch.Deleted) {
		delete(r.owners, uid)
		if r.pods[owner]--; r.pods[owner] == 0 {
			delete(r.pods, owner)
		}
		known = false
	}
	if !known && event != watch.Deleted {
		r.owners[uid] = appID
		r.pods[appID]++
	}
	return r.members[appID], before
}

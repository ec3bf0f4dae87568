// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"
)

const (
	// leaseDuration is how long the others respect a Lease that is not renewed.
	leaseDuration = 15 * time.Second
	// renewInterval is the time between two renewals.
	renewInterval = 5 * time.Second
	// actDeadline is how long after its last renewal a replica still calls Act. The rest of
	// leaseDuration is for a call in progress.
	actDeadline = 10 * time.Second
	// listInterval is the time between two lists of the Leases.
	listInterval = time.Second
	// listTimeout is how long a list may take.
	listTimeout = 2 * time.Second
	// removeAfter is how long a Lease stays after its replica has left.
	removeAfter = time.Minute

	// claimsAnnotation lists the buckets that a replica acts for, or wants to act for.
	claimsAnnotation = "fleet.example.com/buckets"
	// fleetLabel selects the Leases of a fleet.
	fleetLabel = "fleet.example.com/fleet"
)

// A bucketSet has true for each bucket in the set.
type bucketSet [Buckets]bool

// list returns the buckets in the set, sorted.
func (s bucketSet) list() []int {
	var buckets []int
	for bucket, in := range s {
		if in {
			buckets = append(buckets, bucket)
		}
	}
	return buckets
}

// A member is a replica as its Lease shows it.
type member struct {
	lease    *coordinationv1.Lease
	listed   bool // in the last list
	released bool
	claims   bucketSet
	// The last renewal was written between these times of the local clock. The clocks of
	// other machines are not compared.
	renewedAfter, renewedBefore time.Time
}

func (m member) live(now time.Time) bool {
	return !m.released && now.Sub(m.renewedBefore) < leaseDuration
}

// A view is the members that a replica knows, itself included. The zero view is empty.
type view struct {
	members map[string]member
	asked   time.Time // when the last list was requested
}

// update reads a complete list of Leases, requested at asked and received at now. A Lease
// that was deleted without a release counts until it would have expired, because its
// replica may still act.
func (v *view) update(leases []coordinationv1.Lease, asked, now time.Time) {
	members := make(map[string]member, len(leases))
	for i := range leases {
		lease := &leases[i]
		m := member{
			lease:         lease,
			listed:        true,
			released:      ptr.Deref(lease.Spec.HolderIdentity, "") == "",
			claims:        parseClaims(lease.Annotations[claimsAnnotation]),
			renewedAfter:  v.asked,
			renewedBefore: now,
		}
		if last, ok := v.members[lease.Name]; ok && last.lease.Spec.RenewTime.Equal(lease.Spec.RenewTime) {
			m.renewedAfter, m.renewedBefore = last.renewedAfter, last.renewedBefore
		}
		members[lease.Name] = m
	}
	for name, m := range v.members {
		if _, ok := members[name]; !ok && m.live(now) {
			m.listed = false
			members[name] = m
		}
	}
	v.members, v.asked = members, asked
}

// live returns the names of the live members, sorted, so that all replicas compute the same
// owners.
func (v *view) live(now time.Time) []string {
	var names []string
	for name, m := range v.members {
		if m.live(now) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// left returns the Leases of replicas that left long ago.
func (v *view) left(now time.Time) []*coordinationv1.Lease {
	var leases []*coordinationv1.Lease
	for _, m := range v.members {
		if m.listed && now.Sub(m.renewedBefore) >= removeAfter {
			leases = append(leases, m.lease)
		}
	}
	return leases
}

// wanted returns the buckets that a member should own.
func (v *view) wanted(self string, now time.Time) bucketSet {
	members := v.live(now)
	var wanted bucketSet
	if len(members) == 0 {
		return wanted
	}
	for bucket := range wanted {
		wanted[bucket] = ownerOf(bucket, members) == self
	}
	return wanted
}

// claimed returns what the Lease of a member claims in the last list.
func (v *view) claimed(self string) bucketSet {
	if m := v.members[self]; m.listed && !m.released {
		return m.claims
	}
	return bucketSet{}
}

// free returns the buckets that no other live member claims. A member that writes its claim
// and finds the bucket free in a list made later may act: of two members that do so, the
// second list shows both claims.
func (v *view) free(self string, now time.Time) bucketSet {
	var free bucketSet
	for bucket := range free {
		free[bucket] = true
	}
	for name, m := range v.members {
		if name == self || !m.live(now) {
			continue
		}
		for bucket, claimed := range m.claims {
			free[bucket] = free[bucket] && !claimed
		}
	}
	return free
}

func formatClaims(claims bucketSet) string {
	var fields []string
	for _, bucket := range claims.list() {
		fields = append(fields, strconv.Itoa(bucket))
	}
	return strings.Join(fields, ",")
}

func parseClaims(s string) bucketSet {
	var claims bucketSet
	for field := range strings.SplitSeq(s, ",") {
		if bucket, err := strconv.Atoi(field); err == nil && bucket >= 0 && bucket < Buckets {
			claims[bucket] = true
		}
	}
	return claims
}

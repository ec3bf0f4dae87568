// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Run takes part in the fleet until ctx ends. Then it stops acting, waits for the calls of
// Act in progress, and releases its Lease, so that others take over at once. It returns the
// error of the release. Call it once.
func (r *Replica) Run(ctx context.Context) error {
	renewing, stopRenewing := context.WithCancel(context.Background())
	defer stopRenewing()
	var keeper sync.WaitGroup
	keeper.Go(func() { r.keeper.run(renewing) })

	ticker := time.NewTicker(listInterval)
	defer ticker.Stop()
	r.list(ctx)
	for ctx.Err() == nil {
		r.reconcile()
		select {
		case <-ticker.C:
			r.list(ctx)
		case <-r.changed:
		case <-ctx.Done():
		}
	}

	// The Lease is renewed until the last Act has returned.
	for _, a := range r.running {
		a.stopActing()
		a.stop()
	}
	r.wait.Wait()
	stopRenewing()
	keeper.Wait()
	r.setStatus(func(status *Status) { *status = Status{Moves: status.Moves} })
	return r.keeper.release(context.WithoutCancel(ctx))
}

// list reads the Leases and decides which buckets this replica wants and acts for. Without
// a list the last decision holds until actUntil.
func (r *Replica) list(ctx context.Context) {
	asked := time.Now()
	leases, err := r.keeper.list(ctx)
	now := time.Now()
	if err != nil {
		r.setStatus(func(status *Status) { status.Err = err })
		if !r.mayAct() {
			r.acting, r.claimable = bucketSet{}, bucketSet{}
		}
		return
	}
	r.view.update(leases, asked, now)

	self := r.config.Name
	until := r.view.members[self].renewedAfter.Add(actDeadline)
	free, listed := r.view.free(self, now), r.view.claimed(self)
	r.wanted = r.view.wanted(self, now)
	r.written = r.claims == listed
	moves := 0
	for bucket, wanted := range r.wanted {
		r.claimable[bucket] = wanted && free[bucket]
		acts := now.Before(until) && r.claimable[bucket] && r.claims[bucket] && listed[bucket]
		if acts && !r.acting[bucket] {
			moves++
		}
		r.acting[bucket] = acts
	}
	r.mu.Lock()
	r.actUntil = until
	r.status.Members = r.view.live(now)
	r.status.Moves += moves
	r.status.Err = nil
	r.mu.Unlock()

	for _, lease := range r.view.left(now) {
		if lease.Name != self {
			r.keeper.remove(ctx, lease)
		}
	}
}

// reconcile makes the watches, the readers and the claims agree with the decisions of list.
func (r *Replica) reconcile() {
	added := r.applications()
	for id := range added {
		if r.running[id] == nil && r.wanted[r.bucketOf(id)] {
			r.watch(id)
		}
	}
	claims := r.claimable
	applications := 0
	for id, a := range r.running {
		stays := added[id] && r.wanted[a.bucket]
		switch {
		case stays && r.acting[a.bucket]:
			applications++
			if !a.active() {
				r.act(a)
			}
		case a.active():
			a.stopActing()
		case !stays:
			a.stop()
			delete(r.running, id)
		}
		if a.active() {
			claims[a.bucket] = true // until the last Act has returned
		}
	}
	r.claim(claims)
	r.setStatus(func(status *Status) {
		status.Applications = applications
		status.Buckets = r.acting.list()
	})
}

// claim writes the claims. It changes them only when the API server has shown the last
// change: a bucket that was given up and claimed again must not look as if it had been
// claimed all the time.
func (r *Replica) claim(claims bucketSet) {
	if claims == r.claims || !r.written {
		return
	}
	r.claims, r.written = claims, false
	r.keeper.claim(claims)
	r.config.Logger.Info("Claims changed", "replica", r.config.Name, "buckets", formatClaims(claims), "members", r.view.live(time.Now()))
}

func (r *Replica) applications() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.added)
}

// mayAct reports whether the Lease was renewed in time. A reader asks before each call of
// Act, because a process that was paused may have lost its Lease meanwhile.
func (r *Replica) mayAct() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.actUntil)
}

func (r *Replica) setStatus(change func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
}

// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

var seeds = flag.Int("seeds", 20, "how many random courses TestRandomFaults runs")

// apps is how many applications a test has.
const apps = 60

// settle is how long a fleet needs after a replica has started or stopped.
const settle = 6 * time.Second

func TestOneReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a := c.start("a")
		next := c.sleep(0, 10*time.Second)
		c.owners(a)
		if got := a.Status().Applications; got != apps {
			t.Errorf("acts for %d applications, want %d", got, apps)
		}
		c.requireEnds(next)
	})
}

// Only the buckets of the new replica move, and no end is lost.
func TestReplicaJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a, b := c.start("a"), c.start("b")
		next := c.sleep(0, settle)
		before := c.owners(a, b)
		d := c.start("d")
		next = c.sleep(next, settle)
		after := c.owners(a, b, d)
		requireMoves(t, before, after, func(_, after string) bool { return after == "d" })
		c.requireEnds(next)
	})
}

// A replica that stops releases its Lease, so the others need not wait until it expires.
func TestReplicaStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a, b, d := c.start("a"), c.start("b"), c.start("d")
		next := c.sleep(0, settle)
		before := c.owners(a, b, d)
		d.stop()
		next = c.sleep(next, settle)
		after := c.owners(a, b)
		requireMoves(t, before, after, func(before, _ string) bool { return before == "d" })
		c.requireEnds(next)
		if status := d.Status(); len(status.Buckets) > 0 || status.Applications > 0 {
			t.Errorf("status of the stopped replica: %+v, want no buckets", status)
		}
	})
}

// Applications are divided by namespace: a replica watches the shards of its buckets, with a
// server that selects by shard and with one without that. Only the buckets of a new replica
// move, and no end is lost.
func TestByNamespace(t *testing.T) {
	for name, pods := range map[string][]watchtest.Option{
		"selected by the server": {watchtest.WithShardSelector()},
		"ignored by the server":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newDividedCluster(t, apps, watchtest.NewServer(pods...), func(app string) string { return app + "-jobs" })
				a, b := c.start("a"), c.start("b")
				next := c.sleep(0, settle)
				before := c.owners(a, b)
				d := c.start("d")
				next = c.sleep(next, settle)
				after := c.owners(a, b, d)
				requireMoves(t, before, after, func(_, after string) bool { return after == "d" })
				c.requireEnds(next)
				for app, call := range c.lastCalls() {
					if owner := after[ShardOf(app+"-jobs")]; call.replica != owner {
						t.Errorf("%s acts for %s, want the owner of the shard, %s", call.replica, app, owner)
					}
				}
				for _, request := range c.pods.Requests() {
					if request.Verb&(watchtest.List|watchtest.Watch|watchtest.StreamingList) != 0 && request.ShardSelector == "" {
						t.Errorf("%v without a shard", request)
					}
				}
			})
		})
	}
}

// A replica that cannot reach the Leases, but still sees the pods, stops acting before the
// others begin. It takes part again later.
func TestReplicaLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a, b, d := c.start("a"), c.start("b"), c.start("d")
		next := c.sleep(0, settle)
		before := c.owners(a, b, d)

		d.network.partitioned.Store(true)
		lost := time.Now()
		next = c.sleep(next, 13*time.Second)
		for app, call := range c.lastCalls() {
			if call.replica == "d" && call.at.Sub(lost) > actDeadline {
				t.Errorf("acted for %s %s after it lost the Lease, want at most %s", app, call.at.Sub(lost), actDeadline)
			}
		}
		if err := d.Status().Err; err == nil {
			t.Error("the status has no error, want the one of the list")
		}
		next = c.sleep(next, 7*time.Second)
		after := c.owners(a, b)
		requireMoves(t, before, after, func(before, _ string) bool { return before == "d" })
		c.requireEnds(next)

		d.network.partitioned.Store(false)
		next = c.sleep(next, 2*settle)
		healed := c.owners(a, b, d)
		if healed != before {
			t.Errorf("owners after the partition: %v, want those before it: %v", healed, before)
		}
		c.requireEnds(next)
	})
}

// A replica that can read the Leases, but not renew its own one, stops acting. The context
// of a call of Act in progress ends.
func TestReplicaCannotRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a, b := c.start("a"), c.start("b")
		next := c.sleep(0, settle)
		c.obeys = true
		c.setDuration(b, time.Hour)
		next = c.sleep(next, time.Second)
		b.network.readOnly.Store(true)
		want := c.leases.renewed("b").Add(actDeadline + listInterval)
		next = c.sleep(next, time.Until(want)+time.Second)
		for app, call := range c.lastCalls() {
			if call.replica == "b" && (call.returned.IsZero() || call.returned.After(want)) {
				t.Errorf("%s: the context of the call ended at %s, want at %s at the latest", app, call.returned, want)
			}
		}
		next = c.sleep(next, settle)
		c.owners(a)
		c.requireEnds(next)
		b.network.readOnly.Store(false)
	})
}

// A bucket is not given up while a call of Act is in progress.
func TestSlowAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a := c.start("a")
		next := c.sleep(0, settle)
		c.setDuration(a, 30*time.Second)
		next = c.sleep(next, time.Second)
		b := c.start("b")
		next = c.sleep(next, 20*time.Second)
		for app, call := range c.lastCalls() {
			if call.replica != "a" {
				t.Errorf("%s acted for %s while a did, want it to wait", call.replica, app)
			}
		}
		c.setDuration(a, 0)
		next = c.sleep(next, 20*time.Second)
		c.owners(a, b)
		if len(b.Status().Buckets) == 0 {
			t.Error("b acts for no bucket, want some after the slow calls")
		}
		c.requireEnds(next)
	})
}

// A replica whose Lease is deleted writes another.
func TestLeaseIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a, b := c.start("a"), c.start("b")
		next := c.sleep(0, settle)
		before := c.owners(a, b)
		for range 5 {
			c.leases.remove("b")
			next = c.sleep(next, 2*settle)
			if after := c.owners(a, b); after != before {
				t.Errorf("owners: %v, want as before: %v", after, before)
			}
		}
		c.requireEnds(next)
	})
}

// A Lease that a user deletes counts until it would have expired, because its replica may
// not know.
func TestLeaseIsDeletedInPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a, b := c.start("a"), c.start("b")
		next := c.sleep(0, settle)
		b.network.partitioned.Store(true)
		c.leases.remove("b")
		next = c.sleep(next, 20*time.Second)
		c.owners(a)
		c.requireEnds(next)
	})
}

// A bucket that is given up and claimed again must not look as if it had been claimed all
// the time.
func TestClaimsWaitForTheLastChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 0)
		a := c.start("a")
		time.Sleep(settle)
		a.stop()
		all := a.claims
		a.written = true
		a.claim(bucketSet{})
		a.claim(all)
		if got := a.keeper.claims; got != (bucketSet{}) {
			t.Errorf("claims %v, want none before a list has shown none", got.list())
		}
	})
}

func TestApplicationIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a := c.start("a")
		next := c.sleep(0, settle)
		a.Remove("app-0")
		synctest.Wait()
		removed := time.Now()
		next = c.sleep(next, settle)
		if last := c.lastCalls()["app-0"]; last.at.After(removed) {
			t.Errorf("acted %s after Remove, want not", last.at.Sub(removed))
		}
		if got := a.Status().Applications; got != apps-1 {
			t.Errorf("acts for %d applications, want %d", got, apps-1)
		}
		a.Add("app-0")
		next = c.sleep(next, settle)
		c.requireEnds(next)
	})
}

// An id that no label can have is an error in the log, and harms no other application.
func TestInvalidApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, apps)
		a := c.start("a")
		a.Add("")
		a.Add("not/a label value")
		next := c.sleep(0, settle)
		c.owners(a)
		c.requireEnds(next)
	})
}

// The Leases of replicas that have left do not stay for ever.
func TestOldLeasesAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		a, b, d := c.start("a"), c.start("b"), c.start("d")
		time.Sleep(settle)
		b.stop()
		d.network.partitioned.Store(true)
		d.stop()
		time.Sleep(2 * removeAfter)
		leases, err := a.keeper.list(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(leases) != 1 || leases[0].Name != "a" {
			t.Errorf("%d leases, want only that of a", len(leases))
		}
	})
}

// Replicas start, stop and lose their Leases at random. Requests for Leases arrive late or
// not at all, and calls of Act take up to the time that a lost Lease leaves them. The
// cluster checks that no two replicas act at the same time.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(*seeds) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomFaults(t, seed) })
		})
	}
}

func randomFaults(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	c := newCluster(t, 8)
	names := []string{"a", "b", "d", "e"}
	running := map[string]*process{}
	next := 0
	for range 60 {
		name := names[random.IntN(len(names))]
		switch p := running[name]; {
		case p == nil:
			p = c.start(name)
			p.network.delayUpTo(listTimeout*2/3, rand.New(rand.NewPCG(seed, random.Uint64())))
			c.setDuration(p, time.Duration(random.Int64N(int64(leaseDuration-actDeadline-listTimeout))))
			running[name] = p
		case random.IntN(4) == 0:
			p.stop()
			delete(running, name)
		default:
			p.network.partitioned.Store(!p.network.partitioned.Load())
		}
		next = c.sleep(next, time.Duration(random.Int64N(int64(10*time.Second))))
	}
	for _, p := range running {
		p.network.partitioned.Store(false)
		p.network.delayUpTo(0, nil)
		c.setDuration(p, 0)
	}
	running["last"] = c.start("last")
	next = c.sleep(next, leaseDuration+2*settle)
	c.owners(slices.Collect(maps.Values(running))...)
	c.requireEnds(next)
}

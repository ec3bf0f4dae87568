// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource"
)

// BatchChecker checks the batches that one reader of a store receives.
type BatchChecker struct {
	// AllowOlder allows a change that leads to an older version, because a list may begin
	// another history.
	AllowOlder bool
	// Ending allows one batch before the interval is over, because the context of the
	// reader has ended or the source has stopped.
	Ending bool

	fail     func(format string, args ...any)
	interval time.Duration
	view     map[types.UID]watchsource.Executor // after the last batch
	received []lifecycleEvent

	batches   int
	lastBatch time.Time
	early     bool // a batch has come before the interval was over
}

// NewBatchChecker returns a BatchChecker for a reader with an interval. It calls fail for
// each mistake.
func NewBatchChecker(fail func(format string, args ...any), interval time.Duration) *BatchChecker {
	return &BatchChecker{fail: fail, interval: interval, view: map[types.UID]watchsource.Executor{}}
}

// Check checks that the changes of a batch lead from the reader's view to the snapshot of
// the batch.
func (c *BatchChecker) Check(batch watchsource.Batch) {
	if c.batches++; c.batches > 1 {
		if len(batch.Changes) == 0 {
			c.fail("a batch after the first has no changes, want at least one")
		}
		d := time.Since(c.lastBatch)
		if d < c.interval && (!c.Ending || c.early) {
			c.fail("a batch arrived %v after another, want at least %v", d, c.interval)
		}
		c.early = c.early || d < c.interval
	}
	c.lastBatch = time.Now()
	for _, change := range batch.Changes {
		c.checkChange(change)
	}
	n := 0
	for e := range batch.Snapshot.All() {
		n++
		if c.view[podKey(e)] != e {
			c.fail("the changes lead to %+v, want %+v as in the snapshot", c.view[podKey(e)], e)
		}
	}
	if n != len(c.view) {
		c.fail("the changes lead to %d executors, want %d as in the snapshot", len(c.view), n)
	}
}

func (c *BatchChecker) checkChange(change watchsource.Change) {
	key := podKey(*change.After)
	before, known := c.view[key]
	if known != (change.Before != nil) || known && *change.Before != before {
		c.fail("a change of %s has Before %+v, want the last reported state %+v (known: %v)", change.After.Name, change.Before, before, known)
		return
	}
	if known && !c.AllowOlder && precedes(change.After.ResourceVersion, before.ResourceVersion) {
		c.fail("a change of %s leads from version %s to %s, want a newer one", change.After.Name, before.ResourceVersion, change.After.ResourceVersion)
	}
	if change.After.State == watchsource.Deleted {
		c.received = append(c.received, lifecycleEvent{key, gone})
		delete(c.view, key)
		return
	}
	c.view[key] = *change.After
	if want := annotationOf(change.After, stateAnnotation); want != "" && want != change.After.State.String() {
		c.fail("%s has state %v, want %s", change.After.Name, change.After.State, want)
	}
	if end := annotationOf(change.After, endAnnotation); end != "" && (!known || annotationOf(&before, endAnnotation) != end) {
		c.received = append(c.received, lifecycleEvent{key, "end " + end})
	}
}

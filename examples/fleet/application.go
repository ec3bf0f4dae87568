// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"time"

	"github.com/executorpods/watchsource"
	"k8s.io/apimachinery/pkg/util/wait"
)

// startBackoff is the time between the attempts to start a source.
var startBackoff = wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 5, Cap: 30 * time.Second}

// An application is watched while this replica wants its bucket. It has a reader while this
// replica acts for the bucket.
type application struct {
	// Fixed after the application is added.
	id     string
	bucket int
	store  *watchsource.Store
	stop   context.CancelFunc // ends the watch

	// Owned by the goroutine of Run.
	reader *reader // nil, or the last one
}

// A reader calls Act for the batches of an application.
type reader struct {
	stop context.CancelFunc
	done chan struct{}
}

// active reports whether a reader may still be in a call of Act.
func (a *application) active() bool {
	if a.reader == nil {
		return false
	}
	select {
	case <-a.reader.done:
		return false
	default:
		return true
	}
}

// stopActing makes the reader return after the call of Act in progress, and after one more
// if changes wait. The claim is kept until then.
func (a *application) stopActing() {
	if a.reader != nil {
		a.reader.stop()
	}
}

// watch begins to watch an application, and starts the source again if its start fails.
func (r *Replica) watch(id string) {
	bucket := r.bucketOf(id)
	if r.shared[bucket] == nil {
		r.shared[bucket] = r.newSharedWatch(bucket)
	}
	a := &application{id: id, bucket: bucket, store: watchsource.NewStore(watchsource.WithLogger(r.config.Logger))}
	source := r.shared[bucket].Source(a.store)
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	r.running[id] = a
	r.wait.Go(func() {
		_ = startBackoff.DelayFunc().Until(ctx, true, true, func(context.Context) (stop bool, _ error) {
			if err := source.Run(ctx, id); err != nil && ctx.Err() == nil {
				r.config.Logger.Error(err, "Failed to watch, will retry", "app", id)
			}
			return false, nil
		}) // returns when ctx ends
	})
}

func (r *Replica) newSharedWatch(bucket int) *watchsource.SharedWatch {
	options := append([]watchsource.Option{watchsource.WithLogger(r.config.Logger)}, r.config.Options...)
	division := watchsource.WithSelector(selectorOf(bucket))
	if r.config.NamespaceOf != nil {
		division = watchsource.WithShard(bucket, Buckets)
	}
	return watchsource.NewSharedWatch(r.config.Pods, append(options, division)...)
}

// bucketOf returns the bucket of an application.
func (r *Replica) bucketOf(id string) int {
	if r.config.NamespaceOf != nil {
		return ShardOf(r.config.NamespaceOf(id))
	}
	return BucketOf(id)
}

// act begins to call Act for an application.
func (r *Replica) act(a *application) {
	ctx, cancel := context.WithCancel(context.Background())
	current := &reader{stop: cancel, done: make(chan struct{})}
	a.reader = current
	r.wait.Go(func() {
		defer close(current.done)
		defer cancel()
		if _, err := a.store.WaitFor(ctx, watchsource.Snapshot.Complete); err != nil {
			return
		}
		for batch := range a.store.Batches(ctx, 0) {
			if !r.mayAct() {
				return
			}
			r.config.Act(ctx, a.id, batch)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
)

// followUntilEnded waits until all executors of the application have ended. It prints the
// changes if the user asks for them, and at the end how the executors have ended.
func (o *options) followUntilEnded(ctx context.Context, source *watchsource.WatchSnapshotSource, store *application.Store) error {
	app := application.New(application.Named(o.appID))
	done := make(chan struct{})
	defer close(done)
	batches := batchesOf(ctx, store, done)
	settled := time.NewTimer(o.settle)
	defer settled.Stop()
	for {
		select {
		case batch, ok := <-batches:
			if !ok {
				return errors.New("stopped before all executors had ended")
			}
			if o.watch {
				if err := o.printBatch(app.ID, batch); err != nil {
					return err
				}
			}
			app.Apply(batch.Changes, application.Moment{At: time.Now(), Late: batch.Full})
			settled.Reset(o.settle)
		case <-settled.C:
			if app.Ends.Len() == 0 || app.Rows.Total() > 0 || source.Status().Phase != watchsource.Watching {
				settled.Reset(max(o.settle, time.Second)) // not yet, or the view may be out of date
				continue
			}
			return o.summarize(app)
		}
	}
}

// summarize prints how the executors have ended.
func (o *options) summarize(app *application.Application) error {
	fmt.Fprintf(o.streams.ErrOut, "All executors of %s%s have ended: %s.\n", app.ID.Name, o.matching(), app.Ends.Causes())
	if o.exitStatus && app.Ends.Failed() > 0 {
		return errFailed
	}
	return nil
}

// batchesOf returns a channel with the batches. It is closed when ctx has ended, after the
// last batch, and when the receiver is done.
func batchesOf(ctx context.Context, store *application.Store, done <-chan struct{}) <-chan watchsource.Batch {
	batches := make(chan watchsource.Batch)
	go func() {
		defer close(batches)
		for _, batch := range store.Batches(ctx, batchInterval) {
			select {
			case batches <- batch:
			case <-done:
				return
			}
		}
	}()
	return batches
}

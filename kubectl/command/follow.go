// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
)

// batchInterval is the shortest time between two batches.
const batchInterval = 100 * time.Millisecond

// follow prints each change until ctx ends.
func (o *options) follow(ctx context.Context, store *application.Store) error {
	for app, batch := range store.Batches(ctx, batchInterval) {
		if err := o.printChanges(app, batch.Changes); err != nil {
			return err
		}
	}
	return nil
}

// A changeObject is a change in JSON and YAML. Before is null for an executor that is new.
type changeObject struct {
	Time   time.Time `json:"time"`
	Ended  bool      `json:"ended"`
	Gone   string    `json:"gone,omitempty"` // how the executor has left
	Before *object   `json:"before"`
	After  *object   `json:"after"`
}

func (o *options) printChanges(app application.ID, changes []watchsource.Change) error {
	for _, change := range changes {
		var err error
		switch o.output {
		case "", "wide":
			_, err = fmt.Fprintln(o.streams.Out, o.line(app, change, time.Now()))
		default:
			err = o.print(change.After, changeObject{
				Time: time.Now().UTC(), Ended: change.Ended, Gone: change.Gone.String(),
				Before: objectOf(app, change.Before), After: objectOf(app, change.After),
			})
		}
		if err != nil {
			return fmt.Errorf("print a change: %w", err)
		}
	}
	return nil
}

// line returns a change as one line.
func (o *options) line(app application.ID, change watchsource.Change, now time.Time) string {
	after := change.After
	parts := []string{now.Format(time.TimeOnly)}
	if o.allNamespaces {
		parts = append(parts, fmt.Sprintf("%-12s", application.Printable(after.Namespace)))
	}
	if o.appID == "" {
		parts = append(parts, fmt.Sprintf("%-20s", application.Printable(app.Name)))
	}
	parts = append(parts, fmt.Sprintf("%-5s", application.Printable(cmp.Or(after.ID, "-"))))
	state := application.StateAfter(change)
	if before := change.Before; before != nil {
		if was := application.State(before); was != state {
			state = was + " -> " + state
		}
	}
	parts = append(parts, fmt.Sprintf("%-24s", state), application.Printable(after.Name))
	if code := application.ExitCode(after); code != "" {
		parts = append(parts, "exit "+code)
	}
	if reason := application.Reason(after); reason != "" {
		parts = append(parts, reason)
	}
	if o.output == "wide" && after.Node != "" {
		parts = append(parts, "on "+application.Printable(after.Node))
	}
	return strings.Join(parts, "  ")
}

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
				if err := o.printChanges(app.ID, batch.Changes); err != nil {
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
	fmt.Fprintf(o.streams.ErrOut, "All executors of %s have ended: %s.\n", app.ID.Name, app.Ends.Causes())
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

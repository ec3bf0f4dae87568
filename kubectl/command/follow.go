// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
		if err := o.printBatch(app, batch); err != nil {
			return err
		}
	}
	return interruption(ctx)
}

// printBatch prints the changes of a batch. If it has every executor, they are in the order of a table.
func (o *options) printBatch(app application.ID, batch watchsource.Batch) error {
	if batch.Full {
		slices.SortStableFunc(batch.Changes, func(a, b watchsource.Change) int {
			return cmp.Or(cmp.Compare(a.After.Namespace, b.After.Namespace), application.CompareIDs(a.After.ID, b.After.ID))
		})
	}
	for _, change := range batch.Changes {
		if err := o.printChange(app, change, time.Now()); err != nil {
			return fmt.Errorf("print a change: %w", err)
		}
	}
	return nil
}

func (o *options) printChange(app application.ID, change watchsource.Change, now time.Time) error {
	switch {
	case o.printer != nil:
		return o.printObject(newExecutorChange(app, change, now))
	case o.output == "name":
		return o.printName(change.After)
	default:
		_, err := fmt.Fprintln(o.streams.Out, o.line(app, change, now))
		return err
	}
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

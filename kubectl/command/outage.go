// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/sleep"
	"github.com/executorpods/watchsource/kubectl/application"
)

// outageInterval is the time between two looks at the state of the watch.
const outageInterval = time.Second

// reportOutages prints a line to stderr when the watch is lost, and another when it is back. The
// returned function ends it, and waits until it has ended.
func (o *options) reportOutages(ctx context.Context, source *watchsource.WatchSnapshotSource) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		var lost time.Time // zero while the watch is not lost
		for sleep.For(ctx, outageInterval) {
			now, err := time.Now(), application.WhyBlind(source, source.Status())
			switch {
			case err != nil && lost.IsZero():
				lost = now
				cause := strings.TrimPrefix(err.Error(), "watchsource: ")
				fmt.Fprintf(o.streams.ErrOut, "%s  The watch is lost: %s; changes are shown when it is back.\n",
					now.Format(time.TimeOnly), application.Printable(cause))
			case err == nil && !lost.IsZero():
				fmt.Fprintf(o.streams.ErrOut, "%s  The watch is back after %s.\n",
					now.Format(time.TimeOnly), now.Sub(lost).Round(time.Second))
				lost = time.Time{}
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"time"

	"github.com/executorpods/watchsource"
)

const (
	// maxGap is how long the view may be out of date for a change to count as seen when it happened.
	maxGap = 2 * tickInterval
	// catchUp is how long after an interruption of the watch the API server may still send the changes
	// that happened meanwhile.
	catchUp = 3 * time.Second
)

// An interruption is a time in which the screen received no changes: the watch was broken or silent, or
// the process was suspended.
type interruption struct {
	current time.Time // when the view was last known to be up to date
	stalls  int       // watches that the source had given up by then
	listed  time.Time // the last list of which changes were shown
	ended   time.Time // when the last interruption ended
}

// observe notes the state of the watch, and whether the view is up to date.
func (i *interruption) observe(now time.Time, status watchsource.Status, upToDate bool) {
	isFirst := i.current.IsZero()
	if !isFirst && (now.Sub(i.current) > maxGap || status.Stalls != i.stalls) {
		i.ended = now
	}
	i.stalls = status.Stalls
	if isFirst || upToDate && status.Phase == watchsource.Watching {
		i.current = now
	}
}

// list notes the time of the last list. A list that is not the first has what the watch has missed.
func (i *interruption) list(at time.Time) {
	if !i.listed.IsZero() && at.After(i.listed) && at.After(i.ended) {
		i.ended = at
	}
	i.listed = at
}

// explains reports whether a change that is seen now may have happened during an interruption.
func (i *interruption) explains(now time.Time) bool {
	return !i.ended.IsZero() && now.Sub(i.ended) <= catchUp
}

// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/executorpods/watchsource"

// A counts has the counts of a watch, in the order of watchCounters.
type counts [len(watchCounters)]float64

func countsOf(status watchsource.Status) counts {
	var c counts
	for i, counter := range watchCounters {
		c[i] = float64(counter.of(status))
	}
	return c
}

// since returns the difference to the last counts. A source counts from its Start, so after
// another Start a count may be lower.
func (c counts) since(last counts) counts {
	for i := range c {
		if c[i] < last[i] {
			return c
		}
	}
	for i := range c {
		c[i] -= last[i]
	}
	return c
}

// updateWatch adds what the sources have counted since the last update, and returns the
// status with the latest contact, and the number of sources that are started. All sources of a
// shared watch count the same events, some of them from a later Start. So the watch has the highest
// count. A source that waits for its Start says nothing of a watch that others have.
func (c *Collector) updateWatch() (newest watchsource.Status, started int) {
	var most counts
	for _, m := range c.members {
		status := m.source.Status()
		for i, n := range m.countSince(status) {
			most[i] = max(most[i], n)
		}
		if m.stopped {
			continue
		}
		started++
		if saysMore(status, newest) {
			newest = status
		}
	}
	app := c.watchApp()
	total := c.totals[app]
	for i := range total {
		total[i] += most[i]
	}
	if app == "" && c.perApp && !c.shared && total == (counts{}) {
		return newest, started // before the first Start
	}
	c.totals[app] = total
	return newest, started
}

// countSince returns what a source has counted since it was last looked at.
func (m *member) countSince(status watchsource.Status) counts {
	now, stopped, stops := countsOf(status), status.Phase == watchsource.Stopped, m.ends.stops.Load()
	if !stopped && (m.stopped || stops != m.stops) { // another Start
		m.counted = counts{}
	}
	if !stopped {
		m.stops = stops
	}
	since := now.since(m.counted)
	m.counted, m.stopped = now, stopped
	return since
}

// saysMore reports whether the status of a source that is started says more of the watch than another
// status.
func saysMore(status, other watchsource.Status) bool {
	isStarting, isOtherStarting := status.Phase == watchsource.Starting, other.Phase == watchsource.Starting
	switch {
	case other.Phase == watchsource.Stopped:
		return true
	case isStarting != isOtherStarting:
		return isOtherStarting
	default:
		return status.LastContact.After(other.LastContact)
	}
}

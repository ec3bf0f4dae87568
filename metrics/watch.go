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
// status with the latest contact, and the number of sources that are started. All sources of a shared watch count the same events, some
// of them from a later Start. So the watch has the highest count.
func (c *Collector) updateWatch() (newest watchsource.Status, started int) {
	var most counts
	for _, m := range c.members {
		status := m.source.Status()
		now, stopped := countsOf(status), status.Phase == watchsource.Stopped
		if m.stopped && !stopped {
			m.counted = counts{} // another Start
		}
		for i, n := range now.since(m.counted) {
			most[i] = max(most[i], n)
		}
		m.counted, m.stopped = now, stopped
		if stopped {
			continue
		}
		started++
		if newest.Phase == watchsource.Stopped || status.LastContact.After(newest.LastContact) {
			newest = status
		}
	}
	for i := range c.total {
		c.total[i] += most[i]
	}
	return newest, started
}

// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
)

// maxDeparted is the number of executors that have left, and whose counted end is still known.
const maxDeparted = 1000

// endCounts are the counted ends of a collector. The zero value is ready for use.
type endCounts struct {
	mu     sync.Mutex
	counts map[endLabels]float64
	// counted has the run of each executor whose end was counted, by the key of its pod. A pod that
	// moves to another application or owner shows its end there again.
	counted map[string]run
	// departed has the keys of those that have left, the oldest first.
	departed []string
}

// A run has the times of a run of an executor container, 0 if unknown.
type run struct{ started, finished int64 }

func runOf(e *watchsource.Executor) run { return run{unix(e.StartedAt), unix(e.FinishedAt)} }

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// follows reports whether the run certainly began after another one.
func (r run) follows(other run) bool { return other.finished != 0 && r.started > other.finished }

// keyOf identifies a pod. Fakes may give no UID.
func keyOf(e *watchsource.Executor) string {
	if e.UID != "" {
		return string(e.UID)
	}
	return e.Namespace + "/" + e.Name
}

// addEnd counts the end of an executor, unless it was counted. If the reader has seen the executor
// before, isSeen is true, and the end is another one.
func (c *endCounts) addEnd(app string, e *watchsource.Executor, isSeen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, now := keyOf(e), runOf(e)
	last, isCounted := c.counted[key]
	if isCounted && !isSeen && !now.follows(last) {
		return
	}
	if c.counted == nil {
		c.counted = map[string]run{}
	}
	c.counted[key] = now
	c.add(endLabels{app, e.State.String(), reasonLabel(e.Reason)}, 1)
}

// addDeparture counts an executor whose pod is gone without an end.
func (c *endCounts) addDeparture(app, reason string) { c.addDepartures(app, reasonLabel(reason), 1) }

func (c *endCounts) addDepartures(app, reason string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(endLabels{app, watchsource.Deleted.String(), reason}, n)
}

// add adds to a count. c.mu is held.
func (c *endCounts) add(labels endLabels, n int) {
	if c.counts == nil {
		c.counts = map[endLabels]float64{}
	}
	c.counts[labels] += float64(n)
}

// depart notes that an executor has left. Its counted end is known until maxDeparted others have left.
func (c *endCounts) depart(e *watchsource.Executor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := keyOf(e)
	if _, ok := c.counted[key]; !ok {
		return
	}
	c.departed = append(c.departed, key)
	if len(c.departed) > maxDeparted {
		delete(c.counted, c.departed[0])
		c.departed = c.departed[1:]
	}
}

func (c *endCounts) read() map[endLabels]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[endLabels]float64{}
	maps.Copy(counts, c.counts)
	return counts
}

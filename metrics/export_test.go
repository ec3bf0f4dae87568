// SPDX-License-Identifier: Apache-2.0

package metrics

// HoldEnds makes the readers of a collector wait when they count an end, until release.
func HoldEnds(c *Collector) (release func()) {
	c.ends.mu.Lock()
	return c.ends.mu.Unlock
}

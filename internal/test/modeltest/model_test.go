// SPDX-License-Identifier: Apache-2.0

package modeltest_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
)

var (
	schedules = flag.Int("schedules", 0, "how many random schedules run, by default 1000, or the one of -seed")
	seed      = flag.Uint64("seed", 0, "seed of the first schedule, 0 for a random one")
)

// A replay has the same changes and the same faults, but not the same times, see
// modeltest.Run. If a failure does not occur again with -seed, add -count.
func TestAnyHistoryUnderAnyFaults(t *testing.T) {
	first, n := firstSchedule()
	t.Run("own watch", func(t *testing.T) { modeltest.Run(t, watchsource.NewWatchSnapshotSource, first, n) })
	t.Run("shared watch", func(t *testing.T) { modeltest.Run(t, modeltest.Shared, first, n) })
}

// firstSchedule returns the seed of the first schedule and the number of schedules.
func firstSchedule() (first uint64, n int) {
	first, n = *seed, *schedules
	switch {
	case n == 0 && first != 0:
		n = 1
	case n == 0:
		n = 1000
	}
	if first == 0 {
		first = rand.Uint64()
		if testing.Short() {
			n = min(n, 100)
		}
	}
	return first, n
}

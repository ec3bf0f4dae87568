// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Whatever states one pod goes through, each reader is shown each end of each run
// of the executor container once, and no end that there was not. A sequence of
// states is made from a seed; -seed replays one.
func TestEachEndOnce(t *testing.T) {
	first, n := *seed, uint64(*podLives)
	switch {
	case first == 0:
		first = 20261129 // so that each run of the test is the same
	case n == defaultLives:
		n = 1
	}
	counts := map[string]int{}
	for i := range n {
		l := &podLife{t: t, seed: first + i, random: rand.New(rand.NewPCG(first+i, 1)), counts: counts, runs: []containerRun{{}}, seen: -1}
		l.run()
		if t.Failed() {
			t.Fatalf("replay with -seed=%d:\n%s", l.seed, strings.Join(l.trace, "\n"))
		}
	}
	if n < 1000 {
		return
	}
	for _, what := range []string{"ends", "lost", "counts back", "verdicts", "runs again", "other exit code", "created", "merged"} {
		if counts[what] < int(n)/50 {
			t.Errorf("%s: %d in %d lives, want more", what, counts[what], n)
		}
	}
}

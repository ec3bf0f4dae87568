// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"

	"github.com/executorpods/watchsource"
)

// missing finds the executors that the scheduler counts on, and that are not
// there although nobody has said that they went: they came and went while the
// watch could not see, and were never shown.
type missing struct {
	roster   *roster
	suspects map[string]bool // missing at the last look, by pod name
}

func newMissing(roster *roster) *missing {
	return &missing{roster: roster}
}

// look strikes off and returns who is missing at two looks in a row. The batch
// that says how an executor ended may be on its way at the first, and knows more
// than that it is missing.
func (m *missing) look(view watchsource.Snapshot) []watchsource.Executor {
	var gone []watchsource.Executor
	suspects := map[string]bool{}
	for _, executor := range m.roster.missingFrom(view) {
		switch {
		case !m.suspects[executor.Name]:
			suspects[executor.Name] = true
		case m.roster.strike(executor.Name):
			gone = append(gone, executor)
		}
	}
	m.suspects = suspects
	return gone
}

// missingFrom returns who is registered and missing from a view, in the order
// of the names.
func (r *roster) missingFrom(view watchsource.Snapshot) []watchsource.Executor {
	r.mu.Lock()
	defer r.mu.Unlock()
	var absent []watchsource.Executor
	for name, m := range r.members {
		if _, there := view.Get(name); !there && m.older(view) {
			absent = append(absent, m.executor)
		}
	}
	slices.SortFunc(absent, func(a, b watchsource.Executor) int { return cmp.Compare(a.Name, b.Name) })
	return absent
}

// older reports whether an executor is so much older than a view that its
// absence there means something. On less than that Spark killed healthy
// executors (SPARK-33711).
//
// Best is a view that contains the version of the executor's creation. If the
// answer to that was lost, or versions cannot be compared, a full list must have
// come so long after the registration that both requests were over by then.
func (m member) older(view watchsource.Snapshot) bool {
	return view.Complete() &&
		(view.Contains(m.version) || view.SyncedAt().Sub(m.registered) > missingDelta)
}

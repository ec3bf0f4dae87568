// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/executorpods/watchsource"
)

// maxEnds bounds the ends that are listed. The counts have no bound.
const maxEnds = 10_000

var ends = kind[int, *End]{
	key: func(e *End) int { return e.Number },
	orders: []order[*End]{
		{by: ByTime, compare: compareTimes},
		{by: ByCause, compare: func(a, b *End) int { return cmp.Compare(a.cause, b.cause) }},
		{by: ByID, compare: func(a, b *End) int { return compareExecutorIDs(a.Executor, b.Executor) }},
		{by: ByNode, compare: func(a, b *End) int { return cmp.Compare(a.Executor.Node, b.Executor.Node) }},
		{by: ByNamespace, compare: func(a, b *End) int { return cmp.Compare(a.Executor.Namespace, b.Executor.Namespace) }},
		{by: ByLife, compare: func(a, b *End) int { return cmp.Compare(a.life, b.life) }, unknown: func(e *End) bool { return e.life == unknownLife }},
	},
	last: func(a, b *End) int { return cmp.Or(compareTimes(a, b), cmp.Compare(b.Number, a.Number)) },
	texts: func(e *End) []string {
		x := e.Executor
		return []string{x.ID, e.Description(), x.Node, x.Namespace, x.Name, Printable(x.Message)}
	},
}

// compareTimes puts the newest first. The times of containers are whole seconds.
func compareTimes(a, b *End) int {
	return b.At.Truncate(time.Second).Compare(a.At.Truncate(time.Second))
}

// Ends lists the ends of an application, and counts them by cause.
type Ends struct {
	List[int, *End]

	oldest int          // number of the oldest that is listed
	last   map[Key]*End // of each pod
	causes map[string]int
	failed int
}

func newEnds() Ends {
	return Ends{List: newList(&ends), oldest: 1, last: map[Key]*End{}, causes: map[string]int{}}
}

func (e *Ends) apply(change watchsource.Change, m Moment) {
	after, before := change.After, change.Before
	last := e.last[KeyOf(after)]
	switch {
	case change.Ended && before == nil && last.isOfRun(after):
		last.Gone = false // the pod has had the labels of another application meanwhile
	case change.Ended:
		e.add(&End{Executor: startedOf(after, before)}, m, change)
	case after.State != watchsource.Deleted:
	case before != nil && before.State.Ended():
		if last != nil {
			last.Gone = change.Gone != watchsource.Unselected
		}
	default:
		left := *after
		if before != nil {
			left.State = before.State
		}
		relabelled := change.Gone == watchsource.Unselected
		e.add(&End{Executor: &left, Relabelled: relabelled, Gone: !relabelled}, m, change)
	}
}

// isOfRun reports whether it is the end of the run that an executor has ended. A reader is shown an end
// again if the pod has left and come back.
func (e *End) isOfRun(x *watchsource.Executor) bool {
	return e != nil && e.Executor.State.Ended() && e.Executor.Restarts == x.Restarts &&
		e.Executor.StartedAt.Equal(x.StartedAt) && e.Executor.FinishedAt.Equal(x.FinishedAt)
}

// startedOf returns an executor that has ended, with its start if the pod has lost it with the status of
// the container.
func startedOf(after, before *watchsource.Executor) *watchsource.Executor {
	if before == nil || before.State.Ended() || !after.StartedAt.IsZero() || before.StartedAt.IsZero() {
		return after
	}
	ended := *after
	ended.StartedAt = before.StartedAt
	return &ended
}

func (e *Ends) add(end *End, m Moment, change watchsource.Change) {
	end.Number = e.oldest + e.Total()
	end.cause = end.findCause()
	end.setTime(m, m.isLate(change))
	if e.Total() == maxEnds {
		e.forgetOldest()
	}
	e.put(end)
	e.last[KeyOf(end.Executor)] = end
	e.causes[end.cause]++
	if end.Failed() {
		e.failed++
	}
}

func (e *Ends) forgetOldest() {
	oldest := e.Get(e.oldest)
	if key := KeyOf(oldest.Executor); e.last[key] == oldest {
		delete(e.last, key)
	}
	e.remove(e.oldest)
	e.oldest++
}

// Failed returns the number of executors that have failed.
func (e *Ends) Failed() int { return e.failed }

// Last returns the last end of a pod, or nil.
func (e *Ends) Last(key Key) *End { return e.last[key] }

// Causes returns the number of ends by cause, the most frequent first, in one line.
func (e *Ends) Causes() string {
	causes := slices.SortedFunc(maps.Keys(e.causes), func(a, b string) int {
		return cmp.Or(cmp.Compare(e.causes[b], e.causes[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, cause := range causes {
		parts = append(parts, fmt.Sprintf("%s %d", cause, e.causes[cause]))
	}
	return strings.Join(parts, "  ")
}

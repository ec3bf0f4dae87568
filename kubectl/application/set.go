// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"time"

	"github.com/executorpods/watchsource"
)

// A Set has the applications that a store has had, sorted and filtered. It keeps those that have no
// executors any more. It is not safe for concurrent use.
type Set struct {
	List[ID, *standing]

	apps   map[ID]*Application
	counts Counts
}

// Counts are numbers of executors.
type Counts struct{ Running, Pending, Failed int }

// A standing is what an application is sorted by. Each change that matters makes another one.
type standing struct {
	app *Application
	by  sortedBy
}

type sortedBy struct {
	rank, running, failed int
	first                 time.Time
}

var applications = kind[ID, *standing]{
	key: func(s *standing) ID { return s.app.ID },
	orders: []order[*standing]{
		{by: ByTrouble, compare: func(a, b *standing) int { return cmp.Compare(a.by.rank, b.by.rank) }},
		{by: ByName, compare: func(a, b *standing) int { return cmp.Compare(a.app.ID.Name, b.app.ID.Name) }},
		{by: ByNamespace, compare: func(a, b *standing) int { return cmp.Compare(a.app.ID.Namespace, b.app.ID.Namespace) }},
		{by: ByAge, compare: func(a, b *standing) int { return b.by.first.Compare(a.by.first) }, unknown: func(s *standing) bool { return s.by.first.IsZero() }},
		{by: ByRunning, compare: func(a, b *standing) int { return cmp.Compare(b.by.running, a.by.running) }},
		{by: ByFailed, compare: func(a, b *standing) int { return cmp.Compare(b.by.failed, a.by.failed) }},
	},
	last: func(a, b *standing) int {
		return cmp.Or(cmp.Compare(a.app.ID.Name, b.app.ID.Name), cmp.Compare(a.app.ID.Namespace, b.app.ID.Namespace))
	},
	texts: func(s *standing) []string {
		return []string{s.app.ID.Name, s.app.ID.Namespace, s.app.Ends.Causes()}
	},
}

// NewSet returns a set without applications.
func NewSet() *Set { return &Set{List: newList(&applications), apps: map[ID]*Application{}} }

// Application returns the application with an id, and adds it if it is missing.
func (s *Set) Application(id ID) *Application {
	app := s.apps[id]
	if app == nil {
		app = New(id)
		s.apps[id] = app
		s.put(app.standing())
	}
	return app
}

// Apply applies the changes of an application.
func (s *Set) Apply(id ID, changes []watchsource.Change, m Moment) {
	app := s.Application(id)
	before := app.counts()
	app.Apply(changes, m)
	after := app.counts()
	s.counts.Running += after.Running - before.Running
	s.counts.Pending += after.Pending - before.Pending
	s.counts.Failed += after.Failed - before.Failed
	if now := app.standing(); now.by != s.Get(id).by || len(s.words) > 0 {
		s.put(now)
	}
}

// Counts returns the sums of all applications.
func (s *Set) Counts() Counts { return s.counts }

// Record adds the numbers of running executors to the histories.
func (s *Set) Record(now time.Time) {
	for _, app := range s.apps {
		app.History.Record(app.Count(watchsource.Running), now)
	}
}

// Page returns the applications from index from to index to-1, of those that pass the filter.
func (s *Set) Page(from, to int) []*Application {
	var page []*Application
	for _, row := range s.List.Page(from, to) {
		page = append(page, row.app)
	}
	return page
}

func (a *Application) counts() Counts {
	return Counts{Running: a.Count(watchsource.Running), Pending: a.Count(watchsource.Pending), Failed: a.Ends.Failed()}
}

func (a *Application) standing() *standing {
	return &standing{app: a, by: sortedBy{
		rank: rankOf(a), running: a.Count(watchsource.Running), failed: a.Ends.Failed(), first: a.first,
	}}
}

// rankOf puts those with executors in trouble first, and those without executors last.
func rankOf(a *Application) int {
	switch {
	case a.Troubled() > 0:
		return 0
	case a.Rows.Total() > 0:
		return 1
	default:
		return 2
	}
}

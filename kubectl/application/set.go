// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"slices"
	"time"

	"github.com/executorpods/watchsource"
)

// A Set has the applications that a store has had. It keeps those that have no executors any more. It
// is not safe for concurrent use.
type Set struct {
	apps   map[ID]*Application
	all    []*Application
	sorted bool
}

// NewSet returns a set without applications.
func NewSet() *Set { return &Set{apps: map[ID]*Application{}} }

// Get returns the application with an id, and adds it if it is missing.
func (s *Set) Get(id ID) *Application {
	app := s.apps[id]
	if app == nil {
		app = New(id)
		s.apps[id] = app
		s.all, s.sorted = append(s.all, app), false
	}
	return app
}

// Apply applies the changes of an application.
func (s *Set) Apply(id ID, changes []watchsource.Change, now time.Time) {
	s.Get(id).Apply(changes, now)
	s.sorted = false
}

// Record adds the numbers of running executors to the histories.
func (s *Set) Record(now time.Time) {
	for _, app := range s.all {
		app.History.Record(app.Count(watchsource.Running), now)
	}
}

// All returns the applications: those with executors in trouble first, those without
// executors last. The slice is valid until the next change.
func (s *Set) All() []*Application {
	if !s.sorted {
		slices.SortFunc(s.all, compareApplications)
		s.sorted = true
	}
	return s.all
}

func compareApplications(a, b *Application) int {
	return cmp.Or(cmp.Compare(rankOf(a), rankOf(b)), cmp.Compare(a.ID.Name, b.ID.Name), cmp.Compare(a.ID.Namespace, b.ID.Namespace))
}

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

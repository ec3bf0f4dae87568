// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"slices"
	"time"

	"github.com/executorpods/watchsource"
)

// A Set is the applications whose executors one store has. It is not safe for concurrent use.
type Set struct {
	idOf   func(*watchsource.Executor) string
	apps   map[string]*Application
	sorted []*Application
}

// NewSet returns a set without applications. idOf returns the application of an executor.
func NewSet(idOf func(*watchsource.Executor) string) *Set {
	return &Set{idOf: idOf, apps: map[string]*Application{}}
}

// ByLabel returns the application id in the label of an executor's pod. The store must keep
// the pods.
func ByLabel(e *watchsource.Executor) string {
	id, _ := e.Label(watchsource.LabelApp)
	return id
}

// Get returns the application with an id, and adds it if it is missing.
func (s *Set) Get(id string) *Application {
	app := s.apps[id]
	if app == nil {
		app = New(id)
		s.apps[id] = app
		s.sorted = append(s.sorted, app)
	}
	return app
}

// Apply applies a batch.
func (s *Set) Apply(batch watchsource.Batch, now time.Time) {
	changed := map[*Application]bool{}
	for _, change := range batch.Changes {
		app := s.Get(s.idOf(change.After))
		app.apply(change, now)
		changed[app] = true
	}
	for app := range changed {
		app.Rows.settle()
	}
	slices.SortFunc(s.sorted, compareApplications)
}

// Record adds the numbers of running executors to the histories.
func (s *Set) Record(now time.Time) {
	for _, app := range s.sorted {
		app.History.Record(app.Count(watchsource.Running), now)
	}
}

// All returns the applications: those with executors in trouble first, those without
// executors last. The slice is valid until the next change.
func (s *Set) All() []*Application { return s.sorted }

func compareApplications(a, b *Application) int {
	return cmp.Or(cmp.Compare(rankOf(a), rankOf(b)), cmp.Compare(a.ID, b.ID))
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

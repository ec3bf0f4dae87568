// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
)

// A batchesMsg has batches of the store.
type batchesMsg []appBatch

// An appBatch has the changes of an application.
type appBatch struct {
	app     application.ID
	changes []watchsource.Change
}

// A tickMsg comes once in tickInterval, for the ages.
type tickMsg struct{}

// A page is what the screen shows.
type page int

const (
	applications page = iota
	executors
	details
	help
	watch
)

// A model is the state of the screen. Only the goroutine of the program uses it.
type model struct {
	// Fixed after newModel.
	config      Config
	suspendable func() bool

	// What the source and the store have shown.
	now    time.Time
	status watchsource.Status
	blind  error // why the view may be out of date, or nil
	set    *application.Set

	// What the screen has shown.
	layout layout
	notice notice

	// What the user has selected.
	width, height int
	page          page
	below         []page                   // the pages under one that was opened over them
	reading       reading                  // of a page of text
	app           *application.Application // nil on the page of the applications
	appCursor     cursor[application.ID]
	rowCursor     cursor[application.Key]
	endCursor     cursor[int]
	detail        application.Key // of the page of details
	ends          bool            // the keys move the cursor of the ends
	filtering     bool            // the keys edit the filter
	filter        string
}

func newModel(config Config) *model {
	m := &model{config: config, suspendable: suspendable, set: application.NewSet(), layout: newLayout(), width: 80, height: 24}
	if config.AppID != "" {
		m.page, m.app = executors, m.set.Get(application.Named(config.AppID))
	}
	m.observe()
	return m
}

// Init does nothing: the batches and the ticks come from outside.
func (m *model) Init() tea.Cmd { return nil }

// Update handles a message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height, m.layout = msg.Width, msg.Height, newLayout()
	case batchesMsg:
		now := time.Now()
		for _, batch := range msg {
			m.set.Apply(batch.app, batch.changes, now)
		}
	case tea.KeyPressMsg:
		cmd = m.press(msg)
	}
	m.observe()
	m.follow()
	return m, cmd
}

// observe reads the clock and the state of the watch.
func (m *model) observe() {
	m.now = time.Now()
	m.status = m.config.Source.Status()
	switch {
	case m.status.Phase == watchsource.Retrying && m.status.Err != nil:
		m.blind = m.status.Err
	default:
		m.blind = m.config.Source.Healthy(maxSilence)
	}
	m.set.Record(m.now)
}

// follow moves the cursors to where their rows have moved.
func (m *model) follow() {
	apps := m.set.All()
	m.appCursor.follow(len(apps), func(id application.ID) int {
		return slices.IndexFunc(apps, func(app *application.Application) bool { return app.ID == id })
	})
	if m.app == nil {
		return
	}
	m.rowCursor.follow(m.app.Rows.Len(), m.app.Rows.Index)
	m.endCursor.follow(m.app.Ends.Len(), m.app.Ends.Index)
}

// selected returns the pod under the cursor.
func (m *model) selected() (application.Key, bool) {
	if m.ends {
		for _, end := range m.app.Ends.Page(m.endCursor.index, m.endCursor.index+1) {
			return application.KeyOf(end.Executor), true
		}
		return application.Key{}, false
	}
	for _, e := range m.app.Rows.Page(m.rowCursor.index, m.rowCursor.index+1) {
		return application.KeyOf(e), true
	}
	return application.Key{}, false
}

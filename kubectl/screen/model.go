// SPDX-License-Identifier: Apache-2.0

package screen

import (
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
	full    bool      // the changes are all executors that there are
	listed  time.Time // of the last list, before or with the changes
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
	now          time.Time
	status       watchsource.Status
	blind        error // why the view may be out of date, or nil
	interruption interruption
	set          *application.Set

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
	rowSorting    application.Sorting // of each application that is opened
	endSorting    application.Sorting
	detail        subject
	ends          bool   // the keys move the cursor of the ends
	filtering     bool   // the keys edit the filter
	appFilter     string // of the applications
	filter        string // of the executors and the ends
}

// A subject is what the page of details shows: an executor, to its end, or one end.
type subject struct {
	key application.Key
	end int // number of the end, 0 for the executor
}

func newModel(config Config) *model {
	m := &model{config: config, suspendable: suspendable, set: application.NewSet(), layout: newLayout(), width: 80, height: 24}
	if config.AppID != "" {
		m.page, m.app = executors, m.set.Application(application.Named(config.AppID))
	}
	m.observe()
	return m
}

// Init does nothing: the batches and the ticks come from outside.
func (m *model) Init() tea.Cmd { return nil }

// Update handles a message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.observe()
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height, m.layout = msg.Width, msg.Height, newLayout()
	case batchesMsg:
		m.apply(msg)
	case tea.KeyPressMsg:
		cmd = m.press(msg)
	case tea.PasteMsg:
		m.paste(msg.Content)
	}
	m.set.Record(m.now)
	m.follow()
	return m, cmd
}

// observe reads the clock and the state of the watch.
func (m *model) observe() {
	m.now = time.Now()
	m.status = m.config.Source.Status()
	m.blind = application.WhyBlind(m.config.Source, m.status)
	m.interruption.observe(m.now, m.status, m.blind == nil)
}

func (m *model) apply(batches []appBatch) {
	for _, batch := range batches {
		m.interruption.list(batch.listed)
		interrupted := m.interruption.explains(m.now)
		m.set.Apply(batch.app, batch.changes, application.Moment{At: m.now, Late: batch.full || interrupted})
	}
}

// follow moves the cursors to where their rows have moved.
func (m *model) follow() {
	m.appCursor.follow(m.set, m.now)
	if m.app == nil {
		return
	}
	m.rowCursor.follow(&m.app.Rows, m.now)
	m.endCursor.follow(&m.app.Ends, m.now)
}

// detailed returns the executor of the page of details, and the end that the user has opened, or else
// its last end. Both are nil if they are no longer listed.
func (m *model) detailed() (e *watchsource.Executor, end *application.End) {
	if m.detail.end > 0 {
		if end = m.app.Ends.Get(m.detail.end); end != nil {
			e = end.Executor
		}
		return e, end
	}
	e, end = m.app.Rows.Get(m.detail.key), m.app.Ends.Last(m.detail.key)
	if e == nil && end != nil {
		e = end.Executor
	}
	return e, end
}

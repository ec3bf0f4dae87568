// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"slices"
	"strings"

	"github.com/executorpods/watchsource/kubectl/application"
)

// A list is what the keys sort and filter.
type list interface {
	Len() int
	Total() int
	Orders() []application.Order
	Sorting() application.Sorting
	Sort(application.Sorting)
	Filter(text string)
}

// list returns the list in which the keys move the cursor.
func (m *model) list() list {
	switch {
	case m.app == nil:
		return m.set
	case m.ends:
		return &m.app.Ends
	default:
		return &m.app.Rows
	}
}

// cursor returns the cursor that the keys move.
func (m *model) cursor() *position {
	switch {
	case m.app == nil:
		return &m.appCursor.position
	case m.ends:
		return &m.endCursor.position
	default:
		return &m.rowCursor.position
	}
}

func (m *model) move(n int) {
	switch {
	case m.app == nil:
		m.appCursor.move(m.set, n, m.now)
	case m.ends:
		m.endCursor.move(&m.app.Ends, n, m.now)
	default:
		m.rowCursor.move(&m.app.Rows, n, m.now)
	}
}

// hasEnds reports whether there is a table of ends to go to, or from.
func (m *model) hasEnds() bool { return m.app != nil && (m.ends || m.app.Ends.Total() > 0) }

// switchTable goes from the executors to the ends, or back.
func (m *model) switchTable() {
	m.ends = !m.ends
	if m.ends {
		m.endCursor.tie(&m.app.Ends, m.now)
		return
	}
	m.rowCursor.tie(&m.app.Rows, m.now)
}

func (m *model) whatEnterOpens() string {
	switch {
	case m.app == nil:
		return "open the application"
	case m.ends:
		return "details of the end"
	default:
		return "details of the executor"
	}
}

// enter opens the row that the user has seen under the cursor.
func (m *model) enter() {
	switch {
	case m.app == nil:
		if id, ok := m.appCursor.tie(m.set, m.now); ok {
			m.openApplication(id)
		}
	case m.ends:
		if number, ok := m.endCursor.tie(&m.app.Ends, m.now); ok {
			m.detail, m.page, m.reading = subject{end: number}, details, reading{}
		}
	default:
		if key, ok := m.rowCursor.tie(&m.app.Rows, m.now); ok {
			m.detail, m.page, m.reading = subject{key: key}, details, reading{}
		}
	}
}

func (m *model) openApplication(id application.ID) {
	m.app, m.page, m.layout = m.set.Application(id), executors, newLayout()
	m.rowCursor, m.endCursor, m.ends = cursor[application.Key]{}, cursor[int]{}, false
	m.app.Rows.Sort(m.rowSorting)
	m.app.Ends.Sort(m.endSorting)
}

// hasApplications reports whether there is a list of applications to go back to.
func (m *model) hasApplications() bool { return m.config.AppID == "" && m.app != nil }

func (m *model) leaveApplication() {
	m.setFilter("")
	m.app, m.page, m.ends, m.layout = nil, applications, false, newLayout()
}

// orders returns the orders of the list. The namespace is one if there are several.
func (m *model) orders() []application.Order {
	orders := m.list().Orders()
	if m.severalNamespaces() {
		return orders
	}
	return slices.DeleteFunc(orders, func(o application.Order) bool { return o == application.ByNamespace })
}

// severalNamespaces reports whether the tables have a column for the namespace.
func (m *model) severalNamespaces() bool {
	if m.app == nil {
		return m.config.Namespace == ""
	}
	return m.app.Namespaces() > 1
}

func (m *model) orderNames() string {
	var names []string
	for _, order := range m.orders() {
		names = append(names, string(order))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func (m *model) sortNext() {
	orders := m.orders()
	next := (slices.Index(orders, m.list().Sorting().By) + 1) % len(orders)
	m.sort(application.Sorting{By: orders[next]})
}

func (m *model) reverse() {
	sorting := m.list().Sorting()
	sorting.Reversed = !sorting.Reversed
	m.sort(sorting)
}

// sort sorts the list, and those of the applications that are opened later.
func (m *model) sort(sorting application.Sorting) {
	m.list().Sort(sorting)
	switch {
	case m.app == nil:
	case m.ends:
		m.endSorting = sorting
	default:
		m.rowSorting = sorting
	}
}

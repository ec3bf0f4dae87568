// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"math"

	tea "charm.land/bubbletea/v2"
)

// A binding is keys that do something on a page, and their line on the page of help.
type binding struct {
	names, does string
	keys        map[string]func()
}

// press handles a key.
func (m *model) press(key tea.KeyPressMsg) tea.Cmd {
	switch name := key.String(); {
	case name == "ctrl+c":
		return tea.Quit
	case name == "ctrl+z":
		return m.suspend()
	case m.filtering:
		m.editFilter(key)
	case name == "q":
		return tea.Quit
	default:
		m.pressOn(m.page, name)
	}
	return nil
}

func (m *model) pressOn(p page, name string) {
	for _, binding := range m.bindings(p) {
		if do := binding.keys[name]; do != nil {
			do()
			return
		}
	}
}

// bindings returns the keys that do something on a page now.
func (m *model) bindings(p page) []binding {
	var all []binding
	switch {
	case p == applications || p == executors:
		all = m.listBindings()
	case len(m.text(p)) > m.reading.height:
		all = motions("scroll", m.reading.move, m.reading.height)
	}
	all = append(all, m.backBindings(p)...)
	for _, over := range []struct {
		page       page
		name, does string
	}{
		{watch, "e", "the watch: why the view is BLIND, and the last error"},
		{help, "?", "help"},
	} {
		does := over.does
		if over.page == p {
			does = "close this page"
		}
		all = append(all, binding{over.name, does, map[string]func(){over.name: func() { m.toggle(over.page) }}})
	}
	return all
}

func (m *model) listBindings() []binding {
	all := motions("move the cursor", m.move, m.cursor().rows)
	if m.list().Len() == 0 {
		all = nil
	} else {
		all = append(all, binding{"enter", m.whatEnterOpens(), map[string]func(){"enter": m.enter}})
	}
	if m.hasEnds() {
		all = append(all, binding{"tab", "go to the ends and back", map[string]func(){"tab": m.switchTable}})
	}
	all = append(all,
		binding{"/", "filter: each word must be in the row", map[string]func(){"/": m.beginFilter}},
		binding{"s", "sort by " + m.orderNames(), map[string]func(){"s": m.sortNext}},
		binding{"S", "reverse the order", map[string]func(){"S": m.reverse}},
	)
	if m.hasApplications() {
		all = append(all, binding{"a", "go to the applications", map[string]func(){"a": m.leaveApplication}})
	}
	return all
}

// motions returns the keys that move something by lines or pages.
func motions(does string, move func(n int), page int) []binding {
	by := func(n int) func() { return func() { move(n) } }
	up, down, last := by(-1), by(1), math.MaxInt32
	pageUp, pageDown := by(-page), by(page)
	return []binding{
		{"up, down, k, j", does, map[string]func(){"up": up, "k": up, "down": down, "j": down}},
		{"pgup, pgdown", does + " by a page", map[string]func(){
			"pgup": pageUp, "ctrl+b": pageUp, "pgdown": pageDown, "ctrl+f": pageDown, "space": pageDown,
		}},
		{"ctrl+u, ctrl+d", does + " by half a page", map[string]func(){"ctrl+u": by(-page / 2), "ctrl+d": by(page / 2)}},
		{"home, end, g, G", does + " to the first or the last line", map[string]func(){
			"home": by(-last), "g": by(-last), "end": by(last), "G": by(last),
		}},
	}
}

// backBindings returns the keys that lead back from a page, if there is something to go back to.
func (m *model) backBindings(p page) []binding {
	esc := func(does string, do func()) []binding {
		return []binding{{"esc", does, map[string]func(){"esc": do}}}
	}
	switch {
	case p == help || p == watch:
		return esc("close this page", m.close)
	case p == details:
		return esc("go back to the list", func() { m.page = executors })
	case *m.currentFilter() != "":
		return esc("remove the filter", func() { m.setFilter("") })
	case m.hasApplications():
		return esc("go back to the applications", m.leaveApplication)
	default:
		return nil
	}
}

// helpFields returns the keys of the page below the help.
func (m *model) helpFields() [][2]string {
	var fields [][2]string
	for _, binding := range m.bindings(m.below[len(m.below)-1]) {
		fields = append(fields, [2]string{binding.names, binding.does})
	}
	if m.suspendable() {
		fields = append(fields, [2]string{"ctrl+z", "suspend"})
	}
	return append(fields, [2]string{"q, ctrl+c", "quit"})
}

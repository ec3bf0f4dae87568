// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/executorpods/watchsource/watchtest"
)

func TestHelp(t *testing.T) {
	inSizes(t, func(t *testing.T, width, height int) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, width, height)
		busy(server)
		term.settle()
		term.press("?")
		term.golden()
		term.press("G")
		term.require("q, ctrl+c", "quit")
		term.press("?")
		term.require("sort: trouble")
	})
}

// The help has the keys that do something on the page, and no others.
func TestHelpOfEachPage(t *testing.T) {
	for _, row := range []struct {
		name, app string
		keys      []string
		has, not  []string
	}{
		{"applications", "", nil, []string{"open the application", "sort by trouble, name, age, running or failed", "reverse"}, []string{"tab", "remove the filter", "go to the applications"}},
		{"filtered applications", "", []string{"/", "s", enter}, []string{"remove the filter"}, nil},
		{"no application passes", "", []string{"/", "x", enter}, []string{"remove the filter"}, []string{"enter", "cursor"}},
		{"executors of one of all", "", []string{enter}, []string{"details of the executor", "go to the applications", "go back to the applications", "tab"}, []string{"namespace"}},
		{"executors of the only one", testApp, nil, []string{"details of the executor", "sort by trouble, id, age or node", "tab"}, []string{"applications", "esc  "}},
		{"ends", testApp, []string{tab}, []string{"details of the end", "sort by newest, cause, id, node or life"}, nil},
		{"details", testApp, []string{enter}, []string{"go back to the list"}, []string{"sort", "filter", "tab", "scroll", "cursor"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				busy(server)
				term := open(t, server, row.app, 80, 40)
				term.press(row.keys...)
				term.press("?")
				term.require(append(row.has, "q, ctrl+c")...)
				for _, text := range row.not {
					term.requireNot(text)
				}
				term.press(escape)
				term.requireNot("q, ctrl+c")
			})
		})
	}
}

// Each key of the help changes what the screen shows, or what the keys do.
func TestKeysOfTheHelpWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		busy(server).create(100, 160)
		for _, p := range []page{executors, details, help} {
			for _, binding := range modelOn(t, server, p).bindings(p) {
				for name := range binding.keys {
					m := modelOn(t, server, p)
					before := stateOf(m)
					if m.pressOn(p, name); stateOf(m) == before {
						t.Errorf("page %d: the key %s (%s) changes nothing", p, name, binding.does)
					}
				}
			}
		}
	})
}

// modelOn returns a model that shows a page of an application of which there is more than fits, with the
// cursor in the middle.
func modelOn(t *testing.T, server *watchtest.Server, p page) *model {
	source, store := startSource(t, server, testSpace, "")
	m := newModel(Config{Source: source, Store: store})
	m.width, m.height = 40, 10
	for app, batch := range store.Batches(t.Context(), 0) {
		m.Update(batchesMsg{{app, batch.Changes, batch.Full, batch.Snapshot.SyncedAt()}})
		break
	}
	m.frame()
	keys := map[page]string{executors: "enter ctrl+d", details: "enter enter j", help: "enter ? j"}
	for name := range strings.FieldsSeq(keys[p]) {
		m.pressOn(m.page, name)
		m.follow()
		m.frame()
	}
	if m.page != p {
		t.Fatalf("got page %d, want %d", m.page, p)
	}
	return m
}

func stateOf(m *model) string {
	return fmt.Sprint(m.frame(), m.page, m.rowCursor.index, m.filtering, m.ends)
}

// A long text scrolls.
func TestDetailsScroll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 40, 10)
		cluster{server, testApp}.create(1, 1)
		term.settle()
		term.press(enter)
		term.require("executor      1", "lines 1-8 of ")
		term.press("j")
		term.requireNot("executor      1")
		term.require("lines 2-9 of ")
		term.press("G")
		term.require("version")
		term.press("g", "?", "j", escape)
		term.require("executor      1")
	})
}

// The last line has no key that does nothing.
func TestHintsOfKeysThatDoSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, "", 80, 24)
		term.requireNot("enter executors")
		c := cluster{server, testApp}
		c.create(1, 1)
		c.run(1, 1)
		term.settle()
		term.require("enter executors")
		term.press(enter)
		term.require("enter details   ? help")
		term.requireNot("tab ends")
		c.end(1, 0, "Completed")
		term.settle()
		term.require("tab ends")
		term.requireNot("enter details")
		term.press(tab)
		term.require("enter details   tab executors")
		term.press("/", "z", enter)
		term.require("filter: z", "tab executors")
		term.requireNot("enter details")
	})
}

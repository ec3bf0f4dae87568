// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

// The filter of an application filters its executors and its ends. The totals are those of all.
func TestFilterOfExecutorsAndEnds(t *testing.T) {
	inSizes(t, func(t *testing.T, width, height int) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, width, height)
		busy(server)
		term.settle()
		term.press("/", "N", "o", "d", "e", "-", "2")
		term.golden()
		term.press(enter)
		term.require("filter: Node-2", " ▸ 1  ", "   46 ")
		term.requireNot("   30 ")
	})
}

// All words must be in a row, each in any column.
func TestFilterOfSeveralWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		busy(server)
		term.settle()
		term.press("/")
		term.paste("oomkilled node-5")
		term.require("   49    OOMKilled", "1 of 4", "no executor passes the filter", "47 running", "OOMKilled 2  Evicted 1  exit 52 1")
		term.requireNot("   37    OOMKilled")
		term.press("\x17") // ctrl+w
		term.require("/oomkilled █", "   49    OOMKilled", "   37    OOMKilled")
		term.press("\x15") // ctrl+u
		term.require("/█", "1-14 of 49")
		term.paste("pending\nnode-6\u009bzz")
		term.require("/pending node-6 zz█", "no executor passes the filter")
		term.press("\x7f", "\x7f", "\x7f")
		term.require(" ▸ 50    Pending", "1 of 49")
		term.requireNot("   51    Pending")
		term.press(escape)
		term.require("1-14 of 49", "/ filter")
	})
}

// The list of the applications is filtered by name, namespace and cause.
func TestFilterOfApplications(t *testing.T) {
	inSizes(t, func(t *testing.T, width, height int) {
		server := watchtest.NewServer()
		threeApplications(server)
		term := openIn(t, server, "", "", width, height)
		term.press("/", "o", "o", "m", "K")
		term.golden()
		term.press("\x15", "o", "t", "h", "e", "r", enter)
		term.require("other", "filter: other", "3 applications")
		term.requireNot("spark-report")

		// The filter stays while an application is open, and that has its own.
		term.press(enter)
		term.require("1 running")
		term.requireNot("filter: ")
		term.press("a")
		term.require("filter: other")
		term.press(escape)
		term.require("spark-etl")
		term.press("/", "x", "y", "z")
		term.require("no application passes the filter", "0 of 3")
	})
}

// threeApplications has applications with other states and causes in two namespaces.
func threeApplications(server *watchtest.Server) {
	for app, count := range map[string]int{"spark-etl": 5, "spark-report": 2} {
		c := cluster{server, app}
		c.create(1, count)
		c.run(1, count)
	}
	other := executorPod("spark-etl", 1)
	other.Namespace = "other"
	server.Create(other)
	server.Update("other", other.Name, setRunning)
	time.Sleep(time.Minute)
	report := cluster{server, "spark-report"}
	report.end(1, 137, "OOMKilled")
}

// The cursor follows its row out of a filter, and goes to the first row if its own does not pass.
func TestCursorInAFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		c := cluster{server, testApp}
		c.create(1, 60)
		c.run(1, 60)
		term.settle()
		term.press("j", "j", "/", "n", "o", "d", "e", "-", "7")
		term.require(" ▸ 6     Running", "7 of 60")
		term.press("\x1b[B", enter, "j") // an arrow moves the cursor while the filter is edited
		term.require(" ▸ 24    Running")
		term.press(escape)
		term.require(" ▸ 24    Running", "of 60")
		term.press("/", "n", "o", "d", "e", "-", "3")
		term.require(" ▸ 2     Running", "7 of 60")
		term.press(enter, escape) // the user has found the row, and wants to see it among the others
		term.require(" ▸ 2     Running", "of 60")
		term.press("/", "z", enter, escape) // nothing was found
		term.require(" ▸ 1     Running", "of 60")
	})
}

// A pasted text is no key.
func TestPasteOutsideTheFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := open(t, watchtest.NewServer(), testApp, 80, 24)
		term.paste("q")
		term.require("no executor yet")
	})
}

// The end of a filter that is wider than the screen is visible.
func TestLongFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 40, 10)
		term.press("/")
		term.paste(strings.Repeat("long ", 20) + "end")
		term.require("long end█", "0 of 0")
		term.press(enter)
		term.require("filter: long long long")
	})
}

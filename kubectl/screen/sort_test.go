// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

// s sorts the table in which the cursor is, and S reverses it.
func TestSortOfEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		busy(server)
		time.Sleep(time.Second)
		term.press(tab, "S")
		for _, want := range []struct{ order, first string }{
			{"newest, reversed", "   12    exit 52 (JVM out of memory) 2m7s"},
			{"cause", "   28    Evicted"},
			{"id", "   12    exit 52"},
			{"node", " ▸ 49    "}, // not the first, but the cursor keeps its row
			{"life", " ▸ 49    OOMKilled  exit 137         2m2s"},
			{"newest", " ▸ 49    OOMKilled"},
		} {
			term.require("sort: "+want.order, want.first, " ▸ 49    OOMKilled", "   50    Pending")
			term.press("s")
		}
		term.press(tab)
		term.require("sort: trouble") // of the executors
	})
}

func TestReversedOrder(t *testing.T) {
	inSizes(t, func(t *testing.T, width, height int) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, width, height)
		busy(server)
		term.settle()
		term.press("s", "s", "S") // the oldest first
		term.golden()
		term.press("S")
		term.require("sort: age   ", " ▸ 50 ")
	})
}

func TestSortOfApplications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		threeApplications(server)
		for _, row := range []struct {
			namespace string
			orders    [][2]string
		}{
			{"", [][2]string{
				{"trouble", " ▸ jobs         spark-etl"}, {"name", " ▸ jobs         spark-etl"}, {"namespace", " ▸ jobs         spark-etl"},
				{"age", " ▸ jobs         spark-etl"}, {"running", " ▸ jobs         spark-etl"}, {"failed", " ▸ jobs         spark-report"},
			}},
			{testSpace, [][2]string{ // one namespace needs no order of namespaces
				{"trouble", " ▸ spark-etl"}, {"name", " ▸ spark-etl"}, {"age", " ▸ spark-etl"}, {"running", " ▸ spark-etl"}, {"failed", " ▸ spark-report"},
			}},
		} {
			term := openIn(t, server, row.namespace, "", 80, 24)
			for _, want := range row.orders {
				term.require("sort: "+want[0]+"   ", want[1])
				term.press("s")
			}
			term.require("sort: trouble")
			term.press("s", "S")
			term.require("sort: name, reversed")
		}
	})
}

// An application that is opened is sorted like the last one.
func TestSortStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		threeApplications(server)
		term := openIn(t, server, testSpace, "", 80, 24)
		term.press(enter, "s", "S", "a", "j", "j", enter)
		term.require("spark-report", "sort: id, reversed")
	})
}

// Executors of one application in several namespaces have a column for the namespace, and an order.
func TestExecutorsOfSeveralNamespaces(t *testing.T) {
	inSizes(t, func(t *testing.T, width, height int) {
		server := watchtest.NewServer()
		threeApplications(server)
		c := cluster{server, "spark-etl"}
		c.end(5, 1, "Error")
		term := openIn(t, server, "", "spark-etl", width, height)
		term.golden()
		term.press("s", "s", "s", "s", "S")
		term.require("sort: namespace, reversed", " ▸ other ")
		term.press("/", "o", "t", "h", "e", "r")
		term.require("1 of 5")
	})
}

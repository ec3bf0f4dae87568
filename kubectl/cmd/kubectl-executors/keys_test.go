// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// A person pastes a filter, sorts the ends, and opens an end.
func TestFilterAndSortInATerminal(t *testing.T) {
	term := openTerminal(t, 120, 40)
	term.wait(false, "ready>")
	term.send("kubectl-executors -demo spark-report\n")
	term.wait(true, "LIVE", "spark-report", "── ended")

	term.send("/")
	term.wait(true, "/█")
	term.send("\x1b[200~Completed q\nspark-report\x1b[201~") // a q in it does not quit
	term.wait(true, "/Completed q spark-report█", "no executor passes the filter")
	term.send("\x17\x17spark-report\r")
	term.wait(true, "filter: Completed spark-report")

	term.send("\tsS")
	term.wait(true, "s sort: cause, reversed", "Completed")
	term.send("\r")
	term.wait(true, "state         Completed", "jobs/spark-report-exec-", "finished")
	term.send("\x1b")
	term.wait(true, "filter: Completed spark-report")
	term.send("q")
	term.wait(false, "ready>")
}

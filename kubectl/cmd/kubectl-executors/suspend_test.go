// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
)

const (
	ctrlZ         = "\x1a"
	cannotSuspend = "cannot suspend: no job control here"
)

// Where no shell could continue the program, Ctrl-Z says so, and the program goes on.
func TestSuspendWithoutJobControl(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
	}{
		{"leader of the session", []string{program, "-demo"}}, // as a window of tmux, ssh -t, or PID 1
		{"child of a shell", []string{"sh", "-c", "kubectl-executors -demo; exit"}},
		{"grandchild of a shell", []string{"sh", "-c", "sh -c 'kubectl-executors -demo; exit'; exit"}},
		{"shell with set +m", []string{"bash", "--norc", "--noprofile", "-ic", "set +m; kubectl-executors -demo; exit"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			term := startIn(t, 80, 24, row.args[0], row.args[1:]...)
			term.wait(true, "LIVE", "q quit")
			term.send(ctrlZ)
			term.wait(true, "LIVE", cannotSuspend)
			term.wait(true, "LIVE", "q quit") // the notice goes, the ages go on
			term.send("?")
			term.wait(true, "move the cursor")
			term.send("q")
			term.wait(false)
		})
	}
}

// A shell with job control suspends its job, even if another shell runs the program in it.
func TestSuspendInJob(t *testing.T) {
	term := openTerminal(t, 80, 24)
	term.wait(false, "ready>")
	term.send("sh -c 'kubectl-executors -demo; exit'\n")
	term.wait(true, "LIVE", "q quit")
	term.send(ctrlZ)
	term.wait(false, "Stopped", "ready>")
	term.send("kill -KILL %1; echo code $?\n") // which the terminal echoes
	term.wait(false, "code 0")
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/executorpods/watchsource/kubectl/internal/emulator"
)

// patience bounds the wait for a screen.
const patience = 30 * time.Second

// A terminal is a shell in a pseudo-terminal, and what a person sees there.
type terminal struct {
	t        *testing.T
	file     *os.File
	emulator *emulator.Terminal
	changed  chan struct{} // has a value after a change of the screen
}

// openTerminal starts a shell with job control, in which kubectl-executors is a command.
func openTerminal(t *testing.T, width, height int) *terminal {
	t.Helper()
	return startIn(t, width, height, "bash", "--norc", "--noprofile", "-i")
}

// startIn starts a command as the leader of the session of a terminal, in which kubectl-executors is one, too.
func startIn(t *testing.T, width, height int, name string, args ...string) *terminal {
	t.Helper()
	bin := filepath.Dir(program)
	shell := exec.CommandContext(t.Context(), name, args...)
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TERM=xterm-256color", "PS1=ready> ", "KUBECONFIG=/dev/null")
	file, err := pty.StartWithSize(shell, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)})
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, file: file, emulator: emulator.New(width, height), changed: make(chan struct{}, 1)}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		answer := make([]byte, 1024)
		for { // what the program asks the terminal, for example for its modes
			n, err := term.emulator.Read(answer)
			if err != nil {
				return
			}
			_, _ = file.Write(answer[:n]) // fails at the end only
		}
	}()
	drawn := make(chan struct{})
	go func() {
		defer close(drawn)
		term.draw()
	}()
	t.Cleanup(func() {
		_ = shell.Process.Kill()
		_ = shell.Wait()
		_ = file.Close()
		<-drawn
		_ = term.emulator.Close()
		<-answered
	})
	return term
}

func (t *terminal) draw() {
	output := make([]byte, 64<<10)
	for {
		n, err := t.file.Read(output)
		if err != nil {
			return // the shell has ended
		}
		_, _ = t.emulator.Write(output[:n]) // never fails
		select {
		case t.changed <- struct{}{}:
		default:
		}
	}
}

func (t *terminal) send(keys string) {
	t.t.Helper()
	if _, err := t.file.WriteString(keys); err != nil {
		t.t.Fatal(err)
	}
}

// wait waits until the screen has all texts, and is the alternate one or not.
func (t *terminal) wait(alternate bool, texts ...string) {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.t.Context(), patience)
	defer cancel()
	for !t.shows(alternate, texts...) {
		select {
		case <-t.changed:
		case <-ctx.Done():
			t.t.Fatalf("after %s the screen is (alternate: %v), want %q and alternate: %v:\n%s",
				patience, t.emulator.Alternate(), texts, alternate, t.emulator.String())
		}
	}
}

func (t *terminal) shows(alternate bool, texts ...string) bool {
	screen := t.emulator.String()
	for _, text := range texts {
		if !strings.Contains(screen, text) {
			return false
		}
	}
	return t.emulator.Alternate() == alternate
}

// coloured reports whether a cell of the screen has a colour.
func (t *terminal) coloured() bool {
	for y := range t.emulator.Height() {
		for x := range t.emulator.Width() {
			if cell := t.emulator.CellAt(x, y); cell != nil && (cell.Style.Fg != nil || cell.Style.Bg != nil) {
				return true
			}
		}
	}
	return false
}

func (t *terminal) resize(width, height int) {
	t.t.Helper()
	t.emulator.Resize(width, height)
	if err := pty.Setsize(t.file, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}); err != nil {
		t.t.Fatal(err)
	}
}

// A person starts the demonstration in a terminal, changes its size, looks at an executor,
// suspends the program, continues it, and quits.
func TestTerminal(t *testing.T) {
	term := openTerminal(t, 120, 40)
	term.wait(false, "ready>")
	term.send("kubectl-executors -demo spark-demo\n")
	term.wait(true, "LIVE", "spark-demo-exec-1", "? help")

	term.resize(60, 16)
	term.wait(true, "LIVE", "STATE       AGE    NODE          REASON")
	term.resize(120, 40)
	term.wait(true, "LIVE", "NODE           POD")

	term.send("\r")
	term.wait(true, "jobs/spark-demo-exec-", "created", "esc back")
	term.send("\x1b")
	term.wait(true, "s sort: trouble")

	term.send("\x1a") // Ctrl-Z
	term.wait(false, "Stopped", "ready>")
	term.send("fg\n")
	term.wait(true, "LIVE", "s sort: trouble")

	if !term.coloured() {
		t.Error("the screen has no colours, want some")
	}
	term.send("q")
	term.wait(false, "\nkubectl-executors -demo spark-demo\nready>") // printed by fg, and then the prompt
	term.send("echo code $?\n")                                      // which the terminal echoes again
	term.wait(false, "echo code $?", "code 0")

	// NO_COLOR removes the colours.
	term.send("clear; NO_COLOR=1 kubectl-executors -demo spark-demo\n")
	term.wait(true, "LIVE", "spark-demo-exec-1")
	if term.coloured() {
		t.Error("the screen has colours with NO_COLOR, want none")
	}
	term.send("q")
	term.wait(false, "ready>") // clear has removed the last one

	// An error is printed, and no screen is opened.
	term.send("clear; kubectl-executors app-a -s http://127.0.0.1:1; echo code $?\n")
	term.wait(false, "error: watchsource: ", "check the address of the API server", "code 1")
}

// The demonstration opens the list of its applications, and with -A that of all namespaces. Enter
// opens an application, and a goes back to the list.
func TestDemoInTerminal(t *testing.T) {
	term := openTerminal(t, 120, 40)
	term.wait(false, "ready>")
	term.send("kubectl-executors -demo\n")
	term.wait(true, "LIVE", "spark-demo", "spark-etl", "spark-report")
	term.send("\r")
	term.wait(true, "LIVE", "-exec-1")
	term.send("a")
	term.wait(true, "LIVE", "spark-demo", "spark-etl", "spark-report")
	term.send("q")
	term.wait(false, "ready>")

	term.send("clear; kubectl-executors -demo -A\n")
	term.wait(true, "LIVE", "spark-demo", "spark-etl", "spark-report", "jobs", "staging")
	term.send("q")
	term.wait(false, "ready>")

	term.send("clear; kubectl-executors -demo -n staging\n")
	term.wait(true, "LIVE", "spark-etl")
	if term.shows(true, "spark-demo") {
		t.Errorf("the screen has an application of another namespace:\n%s", term.emulator.String())
	}
	term.send("q")
	term.wait(false, "ready>")

	// The log would destroy the screen.
	term.send("clear; kubectl-executors -demo -v=6; echo code $?\n")
	term.wait(false, "error: the log of -v would destroy the screen", "See 'kubectl executors --help' for usage.", "code 1")
	term.send("clear; kubectl-executors -demo spark-demo -v=6 2>/dev/null\n")
	term.wait(true, "LIVE", "spark-demo-exec-1")
	term.send("q")
	term.wait(false, "ready>")
}

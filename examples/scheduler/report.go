// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
)

// report prints what happens, line by line, and a summary at the end.
// It may be used by any goroutine.
type report struct {
	start time.Time

	mu       sync.Mutex
	out      io.Writer
	refusal  string // the last reason for which no executor could be created
	created  int
	kept     int
	owed     int // executors lost and not replaced yet
	replaced int
	ends     map[outcome]int
	causes   map[string]int // of failures
	watch    watchsource.Status
	left     int
}

func newReport(out io.Writer) *report {
	return &report{start: time.Now(), out: out, ends: map[outcome]int{}, causes: map[string]int{}}
}

func (a *report) printf(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line(format, args...)
}

// line writes with a clock that starts with the program. a.mu is held.
func (a *report) line(format string, args ...any) {
	fmt.Fprintf(a.out, "%5.1fs  %s\n", time.Since(a.start).Seconds(), fmt.Sprintf(format, args...))
}

// adopted tells of an executor that this run does not know to have created: an
// earlier run has left it, or the answer to its creation was lost.
func (a *report) adopted(e watchsource.Executor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !works(&e) {
		a.line("executor %s is there already and has ended", e.ID)
		return
	}
	a.kept++
	a.line("executor %s is there already and is kept", e.ID)
}

// changed tells which executors were lost and which were created, the first of
// these in the place of those.
func (a *report) changed(endings []ending, created []int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.created += len(created)
	a.owed += len(endings)
	replaced := min(a.owed, len(created))
	a.owed -= replaced
	a.replaced += replaced

	for _, end := range endings {
		a.ends[end.outcome]++
		if end.outcome == failed {
			a.causes[cause(end.executor)]++
		}
		if len(created) == 0 {
			a.line("%s", describe(end))
			continue
		}
		a.line("%s; replacing it by executor %d", describe(end), created[0])
		created = created[1:]
	}
	switch len(created) {
	case 0:
	case 1:
		a.line("created executor %d", created[0])
	default:
		a.line("created executors %d to %d", created[0], created[len(created)-1])
	}
}

// refused tells that an executor could not be created, once for every reason;
// nil says that all could.
func (a *report) refused(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.refusal = ""
		return
	}
	if refusal := err.Error(); refusal != a.refusal {
		a.refusal = refusal
		a.line("could not create an executor, trying again: %s", refusal)
	}
}

// watched notes how the watch ended and how many executors it still saw.
func (a *report) watched(status watchsource.Status, left int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watch, a.left = status, left
}

func (a *report) summary() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line("summary")
	for _, row := range []struct {
		name  string
		value any
	}{
		{"executors created", a.created},
		{"found and kept", a.kept},
		{"failed", counted(a.ends[failed], a.causes)},
		{"ended by themselves", a.ends[finished]},
		{"deleted by others", a.ends[deleted]},
		{"replaced", a.replaced},
		{"left behind", a.left},
		{"the watch", fmt.Sprintf("%v; events %d, lists %d, relists %d, resumes %d, errors %d", a.watch.Phase,
			a.watch.Events, a.watch.Lists, a.watch.Relists, a.watch.Resumes, a.watch.Errors)},
	} {
		fmt.Fprintf(a.out, "        %-24s%v\n", row.name, row.value)
	}
}

// counted writes a total and its parts.
func counted(total int, parts map[string]int) string {
	if total == 0 {
		return "0"
	}
	var words []string
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		words = append(words, fmt.Sprintf("%d x %s", parts[part], part))
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(words, ", "))
}

func describe(end ending) string {
	e := end.executor
	switch {
	case end.outcome == failed && e.ExitCode == watchsource.UnknownExitCode:
		// Nothing but the message says what happened.
		return fmt.Sprintf("executor %s failed%s: %s", e.ID, on(e.Node), withMessage(cause(e), e.Message))
	case end.outcome == failed:
		return fmt.Sprintf("executor %s failed%s: %s", e.ID, on(e.Node), cause(e))
	case end.outcome == finished:
		return fmt.Sprintf("executor %s ended by itself%s, without an error", e.ID, on(e.Node))
	case e.State == watchsource.Deleted:
		return fmt.Sprintf("executor %s vanished%s, somebody else deleted its pod", e.ID, on(e.Node))
	case e.State.Ended() || e.Reason == "":
		return fmt.Sprintf("executor %s is being deleted%s by somebody else", e.ID, on(e.Node))
	default: // as with kubectl drain
		return fmt.Sprintf("executor %s is being deleted%s by somebody else: %s", e.ID, on(e.Node), withMessage(e.Reason, e.Message))
	}
}

// cause says why an executor failed, in as few words as can be counted.
func cause(e watchsource.Executor) string {
	switch {
	case e.ExitCode == watchsource.UnknownExitCode && e.Reason == "":
		return "no reason given"
	case e.ExitCode == watchsource.UnknownExitCode:
		return e.Reason
	case e.Reason == "":
		return fmt.Sprintf("exit code %d", e.ExitCode)
	default:
		return fmt.Sprintf("exit code %d (%s)", e.ExitCode, e.Reason)
	}
}

func withMessage(reason, message string) string {
	message, _, _ = strings.Cut(message, "\n")
	if message = strings.TrimSuffix(strings.TrimSpace(message), "."); message == "" {
		return reason
	}
	return reason + ": " + message
}

func on(node string) string {
	if node == "" {
		return ""
	}
	return " on " + node
}

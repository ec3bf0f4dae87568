// SPDX-License-Identifier: Apache-2.0

package scheduler

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

// report prints one line for each event of the application, and a summary at the end. It is
// safe for concurrent use.
type report struct {
	// Fixed after newReport and named.
	start time.Time
	name  string // id of the application and blanks, or "" if there is only one

	mu       sync.Mutex
	out      io.Writer
	hidden   bool   // the lines are left out
	refusal  string // the last reported error of a creation
	created  int
	kept     int
	owed     int // executors that were lost and are not replaced yet
	replaced int
	ends     map[outcome]int
	causes   map[string]int // number of failures by cause
	watch    watchsource.Status
	left     int
}

func newReport(out io.Writer) *report {
	return &report{start: time.Now(), out: out, ends: map[outcome]int{}, causes: map[string]int{}}
}

// named returns an empty report of one of several applications, with the same clock. Its lines
// begin with the id. The writer must be safe for concurrent use.
func (r *report) named(appID string) *report {
	named := newReport(r.out)
	named.start, named.name = r.start, appID+"  "
	return named
}

// hide leaves the lines out until show is called, because a screen has the terminal.
func (r *report) hide() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hidden = true
}

func (r *report) show() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hidden = false
}

func (r *report) printf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line(format, args...)
}

// line writes a line with the time since the start. The caller holds mu.
func (r *report) line(format string, args ...any) {
	if r.hidden {
		return
	}
	fmt.Fprint(r.out, r.prefix()+fmt.Sprintf(format, args...)+"\n")
}

func (r *report) prefix() string {
	return fmt.Sprintf("%5.1fs  %s", time.Since(r.start).Seconds(), r.name)
}

// adopted reports an executor that this run has not created as far as it knows. Either an
// earlier run has left it, or the answer to its creation was lost.
func (r *report) adopted(e watchsource.Executor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !works(&e) {
		r.line("executor %s is there already and has ended", e.ID)
		return
	}
	r.kept++
	r.line("executor %s is there already and is kept", e.ID)
}

// changed reports the executors that were lost and those that were created. The first of the
// created ones replace the lost ones.
func (r *report) changed(endings []ending, created []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created += len(created)
	r.owed += len(endings)
	replaced := min(r.owed, len(created))
	r.owed -= replaced
	r.replaced += replaced

	for _, end := range endings {
		r.ends[end.outcome]++
		if end.outcome == failed {
			r.causes[cause(end.executor)]++
		}
		if len(created) == 0 {
			r.line("%s", describe(end))
			continue
		}
		r.line("%s; replacing it by executor %d", describe(end), created[0])
		created = created[1:]
	}
	switch len(created) {
	case 0:
	case 1:
		r.line("created executor %d", created[0])
	default:
		r.line("created executors %d to %d", created[0], created[len(created)-1])
	}
}

// refused reports that an executor could not be created. It reports the same error only
// once in a row. A nil error means that all executors were created.
func (r *report) refused(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.refusal = ""
		return
	}
	if refusal := err.Error(); refusal != r.refusal {
		r.refusal = refusal
		r.line("could not create an executor, trying again: %s", refusal)
	}
}

// watched stores the last status of the watch and the number of executors in the last view.
func (r *report) watched(status watchsource.Status, left int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch, r.left = status, left
}

func (r *report) summary() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var text strings.Builder // written at once, so that the lines of other applications are not in between
	fmt.Fprintln(&text, r.prefix()+"summary")
	for _, row := range []struct {
		name  string
		value any
	}{
		{"executors created", r.created},
		{"found and kept", r.kept},
		{"failed", counted(r.ends[failed], r.causes)},
		{"ended by themselves", r.ends[finished]},
		{"deleted by others", r.ends[deleted]},
		{"replaced", r.replaced},
		{"left behind", r.left},
		{"the watch", describeWatch(r.watch)},
	} {
		fmt.Fprintf(&text, "        %-24s%v\n", row.name, row.value)
	}
	fmt.Fprint(r.out, text.String())
}

func describeWatch(status watchsource.Status) string {
	return fmt.Sprintf("%v; events %d, lists %d, relists %d, resumes %d, errors %d", status.Phase,
		status.Events, status.Lists, status.Relists, status.Resumes, status.Errors)
}

// counted formats a total and its parts.
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
		// Only the message says what happened.
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

// cause returns why an executor failed, short enough for the summary to count equal causes.
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

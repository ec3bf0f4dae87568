// SPDX-License-Identifier: Apache-2.0

// Package application keeps the executors of applications for people to look at: those that
// live, the ones in trouble first, and those that have ended, also after their pods are gone.
package application

import (
	"strconv"
	"strings"
	"time"

	"github.com/executorpods/watchsource"
)

// An Application is the executors of one application. It is not safe for concurrent use.
type Application struct {
	// ID identifies the application.
	ID ID
	// Rows are the executors that have not ended.
	Rows Rows
	// Ends are the executors that have ended.
	Ends Ends
	// History is the number of running executors over time.
	History History

	states      map[watchsource.State]int
	terminating int
	troubled    int
	first       time.Time // creation of the oldest pod
	namespaces  map[string]bool
}

// New returns an application without executors.
func New(id ID) *Application {
	return &Application{
		ID: id, Rows: newList(&executors), Ends: newEnds(),
		states: map[watchsource.State]int{}, namespaces: map[string]bool{},
	}
}

// Apply applies the changes that a reader was shown at a moment, in which an executor has ended if its
// pod does not say when.
func (a *Application) Apply(changes []watchsource.Change, m Moment) {
	for _, change := range changes {
		a.apply(change, m)
	}
}

func (a *Application) apply(change watchsource.Change, m Moment) {
	after := change.After
	if a.first.IsZero() || after.CreatedAt.Before(a.first) {
		a.first = after.CreatedAt
	}
	a.namespaces[after.Namespace] = true
	a.Ends.apply(change, m)
	if old := a.Rows.Get(KeyOf(after)); old != nil {
		a.count(old, -1)
	}
	if after.State == watchsource.Deleted || after.State.Ended() {
		a.Rows.remove(KeyOf(after))
		return
	}
	a.Rows.put(after)
	a.count(after, 1)
}

func (a *Application) count(e *watchsource.Executor, n int) {
	a.states[e.State] += n
	if e.Terminating {
		a.terminating += n
	}
	if InTrouble(e) {
		a.troubled += n
	}
}

// Count returns the number of executors in a state that have not ended, including those that
// are terminating.
func (a *Application) Count(state watchsource.State) int { return a.states[state] }

// Terminating returns the number of executors that are being deleted.
func (a *Application) Terminating() int { return a.terminating }

// Troubled returns the number of executors for which [InTrouble] is true.
func (a *Application) Troubled() int { return a.troubled }

// Namespaces returns the number of namespaces in which executors have been seen.
func (a *Application) Namespaces() int { return len(a.namespaces) }

// Age returns the age of the oldest executor that has been seen, or 0 if there has been none.
func (a *Application) Age(now time.Time) time.Duration {
	if a.first.IsZero() {
		return 0
	}
	return now.Sub(a.first)
}

// InTrouble reports whether an executor that has not ended may need help.
func InTrouble(e *watchsource.Executor) bool {
	switch {
	case e.Problem != "" || e.State == watchsource.Unknown:
		return true
	case e.Terminating:
		return false
	default:
		return e.Reason != "" && !starting(e)
	}
}

// starting reports whether the reason is one of the kubelet's for a container that it is
// about to start.
func starting(e *watchsource.Executor) bool {
	return e.Reason == "ContainerCreating" || e.Reason == "PodInitializing"
}

// Reason returns why an executor is in its state, in one line.
func Reason(e *watchsource.Executor) string {
	var parts []string
	if e.Reason != "" {
		reason := e.Reason
		if message := firstLine(e.Message); message != "" {
			reason += ": " + message
		}
		parts = append(parts, reason)
	}
	if e.Problem != "" {
		parts = append(parts, e.Problem)
	}
	return Printable(strings.Join(parts, "; "))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(line)
}

// State returns the word for the state of an executor. An executor that has ended is not
// terminating any more, although its pod may be.
func State(e *watchsource.Executor) string {
	if e.Terminating && !e.State.Ended() && e.State != watchsource.Deleted {
		return "Terminating"
	}
	return e.State.String()
}

// StateAfter returns the word for the state of an executor after a change.
func StateAfter(change watchsource.Change) string {
	if change.Gone == watchsource.Unselected {
		return relabelled
	}
	return State(change.After)
}

// ExitCode returns the exit code of an executor, or "" if it is unknown.
func ExitCode(e *watchsource.Executor) string {
	if e.ExitCode == watchsource.UnknownExitCode {
		return ""
	}
	return strconv.Itoa(int(e.ExitCode))
}

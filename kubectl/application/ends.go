// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/executorpods/watchsource"
)

// maxEnds bounds the ends that are listed. The counts have no bound.
const maxEnds = 10_000

// relabelled is the word for an executor whose pod belongs to another application.
const relabelled = "Relabelled"

// An End is an executor that has ended, or that has left before: its pod was deleted, or has the label
// of another application.
type End struct {
	Number     int                   // counts the ends of the application from 1
	Executor   *watchsource.Executor // in its last state before the pod left
	At         time.Time
	Gone       bool // the pod has been deleted
	Relabelled bool // the executor has not ended; its pod belongs to another application, or to none
}

// Cause returns why the executor has ended, short enough to count equal causes.
func (e *End) Cause() string {
	x := e.Executor
	switch {
	case e.Relabelled:
		return relabelled
	case x.State == watchsource.Succeeded:
		return "Completed"
	case x.State != watchsource.Failed:
		return Printable(cmp.Or(x.Disruption, "Deleted"))
	case x.Reason != "" && x.Reason != "Error":
		return Printable(x.Reason)
	case x.Terminating: // the exit code is the answer to SIGTERM
		return "Deleted"
	case x.ExitCode != watchsource.UnknownExitCode:
		return "exit " + strconv.Itoa(int(x.ExitCode))
	default:
		return "Failed"
	}
}

// Description returns the cause with the exit code and its meaning.
func (e *End) Description() string {
	cause, code := e.Cause(), e.Executor.ExitCode
	if code == watchsource.UnknownExitCode || code == 0 {
		return cause
	}
	exit := "exit " + strconv.Itoa(int(code))
	if cause != exit {
		exit = cause + "  " + exit
	}
	if meaning := meanings[code]; meaning != "" && cause != "OOMKilled" {
		exit += " (" + meaning + ")"
	}
	return exit
}

// Lived returns how long the executor has run, or how long its pod has existed if the
// container has not started.
func (e *End) Lived() time.Duration {
	begin := e.Executor.StartedAt
	if begin.IsZero() {
		begin = e.Executor.CreatedAt
	}
	return max(e.At.Sub(begin), 0)
}

// Failed reports whether the executor has failed. If it was deleted first and then ended with an
// error, it has not: that is the answer to SIGTERM.
func (e *End) Failed() bool {
	return e.Executor.State == watchsource.Failed && e.Cause() != "Deleted"
}

// meanings are the exit codes of Spark's executors (SparkExitCode.scala,
// ExecutorExitCode.scala), and those of a shell for signals.
var meanings = map[int32]string{
	50:  "uncaught exception",
	51:  "uncaught exception, twice",
	52:  "JVM out of memory",
	53:  "no local directory",
	54:  "external block store not initialized",
	55:  "external block store without directory",
	56:  "no heartbeat to the driver",
	57:  "killed by the task reaper",
	58:  "block manager not registered again",
	126: "command not executable",
	127: "command not found",
	130: "SIGINT",
	134: "SIGABRT",
	137: "SIGKILL",
	139: "SIGSEGV",
	143: "SIGTERM",
}

// Ends lists the ends of an application, and counts them by cause.
type Ends struct {
	list   []*End // the oldest first
	last   map[Key]*End
	causes map[string]int
	failed int
	total  int
}

func newEnds() Ends { return Ends{last: map[Key]*End{}, causes: map[string]int{}} }

func (e *Ends) apply(change watchsource.Change, now time.Time) {
	after, before := change.After, change.Before
	switch {
	case change.Ended:
		e.add(&End{Executor: after}, now)
	case after.State != watchsource.Deleted:
	case before != nil && before.State.Ended():
		if end := e.last[KeyOf(after)]; end != nil {
			end.Gone = change.Gone != watchsource.Unselected
		}
	default:
		last := *after
		if before != nil {
			last.State = before.State
		}
		left := change.Gone == watchsource.Unselected
		e.add(&End{Executor: &last, Relabelled: left, Gone: !left}, now)
	}
}

func (e *Ends) add(end *End, now time.Time) {
	e.total++
	end.Number, end.At = e.total, end.Executor.FinishedAt
	if end.At.IsZero() {
		end.At = now
	}
	if len(e.list) == maxEnds {
		oldest := e.list[0]
		if key := KeyOf(oldest.Executor); e.last[key] == oldest {
			delete(e.last, key)
		}
		e.list[0] = nil
		e.list = e.list[1:]
	}
	e.list = append(e.list, end)
	e.last[KeyOf(end.Executor)] = end
	e.causes[end.Cause()]++
	if end.Failed() {
		e.failed++
	}
}

// Len returns the number of ends that are listed.
func (e *Ends) Len() int { return len(e.list) }

// Failed returns the number of executors that have failed.
func (e *Ends) Failed() int { return e.failed }

// Last returns the last end of a pod, or nil.
func (e *Ends) Last(key Key) *End { return e.last[key] }

// Index returns the index of the end with a number, or -1 if it is not listed any more.
func (e *Ends) Index(number int) int {
	if index := e.total - number; index < len(e.list) {
		return index
	}
	return -1
}

// Page returns the ends from index from to index to-1, the newest first.
func (e *Ends) Page(from, to int) []*End {
	var page []*End
	for i := max(from, 0); i < min(to, len(e.list)); i++ {
		page = append(page, e.list[len(e.list)-1-i])
	}
	return page
}

// Causes returns the number of ends by cause, the most frequent first, in one line.
func (e *Ends) Causes() string {
	causes := slices.SortedFunc(maps.Keys(e.causes), func(a, b string) int {
		return cmp.Or(cmp.Compare(e.causes[b], e.causes[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, cause := range causes {
		parts = append(parts, fmt.Sprintf("%s %d", cause, e.causes[cause]))
	}
	return strings.Join(parts, "  ")
}

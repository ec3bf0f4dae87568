// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"strconv"
	"time"

	"github.com/executorpods/watchsource"
)

// relabelled is the word for an executor whose pod belongs to another application.
const relabelled = "Relabelled"

// An End is an executor that has ended, or that has left before: its pod was deleted, or has the label
// of another application.
type End struct {
	Number   int                   // counts the ends of the application from 1
	Executor *watchsource.Executor // in its last state before the pod left
	// At is when the executor ended or left. If Before is true, it is when that was first seen.
	At time.Time
	// Before is true if the executor may have ended or left any time before At: nothing says when.
	Before     bool
	Gone       bool // the pod has been deleted
	Relabelled bool // the executor has not ended; its pod belongs to another application, or to none

	// Fixed when the end was added: what the list compares.
	cause string
	life  time.Duration // unknownLife if the start or the end is unknown
}

// Cause returns why the executor has ended, short enough to count equal causes.
func (e *End) Cause() string {
	if e.cause == "" {
		return e.findCause()
	}
	return e.cause
}

func (e *End) findCause() string {
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

// Lived returns how long the executor container has run. It is unknown if the container has not
// started, or if nothing says when it started or ended.
func (e *End) Lived() (life time.Duration, known bool) {
	return max(e.life, 0), e.life != unknownLife
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

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/executorpods/watchsource"
)

// ending is the moment from which on an executor works no more.
type ending struct {
	executor watchsource.Executor
	outcome  outcome
}

// outcome says which way an executor was lost.
type outcome int

const (
	failed   outcome = iota // it did not do its work
	finished                // it ended by itself, without an error
	deleted                 // somebody else took it away
	vanished                // it is not there, and nobody saw how it went
)

// endingOf reads the outcome from the first state in which an executor works no
// more.
func endingOf(e watchsource.Executor) ending {
	switch {
	// A pod that somebody deletes ends with SIGTERM on its way out. That is not
	// the fault of the application, and does not count against it.
	case e.Terminating, e.State == watchsource.Deleted:
		return ending{e, deleted}
	case e.State == watchsource.Succeeded:
		return ending{e, finished}
	default:
		return ending{e, failed}
	}
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
	case end.outcome == vanished:
		return fmt.Sprintf("executor %s is missing%s, nobody saw how it ended", e.ID, on(e.Node))
	case e.State == watchsource.Deleted:
		return fmt.Sprintf("executor %s is gone%s, somebody else deleted its pod", e.ID, on(e.Node))
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

// cannotStart tells trouble from the ordinary way up.
func cannotStart(reason string) bool {
	switch reason {
	case "", "ContainerCreating", "PodInitializing":
		return false
	default:
		return true
	}
}

// whyWaiting names the reasons for which executors are not up, each once.
func whyWaiting(view watchsource.Snapshot) string {
	var reasons []string
	for e := range view.All() {
		if e.State == watchsource.Pending && e.Reason != "" && !slices.Contains(reasons, e.Reason) {
			reasons = append(reasons, e.Reason)
		}
	}
	if len(reasons) == 0 {
		return ""
	}
	return "; the others wait: " + strings.Join(reasons, ", ")
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

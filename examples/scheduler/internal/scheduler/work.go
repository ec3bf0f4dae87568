// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"strconv"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

// work says how long an executor runs, and with which exit code it ends. With the zero
// value the executor runs until the pod is deleted.
type work struct {
	runFor   time.Duration
	exitCode int
}

// demoWork ends some of the first executors, to demonstrate how the scheduler replaces them.
func demoWork(executorID int) work {
	switch executorID {
	case 2:
		return work{runFor: 1600 * time.Millisecond, exitCode: 1}
	case 4:
		return work{runFor: 2500 * time.Millisecond, exitCode: 137} // SIGKILL, as when the kernel kills it
	case 6:
		return work{runFor: 4200 * time.Millisecond, exitCode: 0}
	default:
		return work{}
	}
}

// command returns the command for a real container. The sleep runs in the background: a
// shell that is process 1 and waits for a foreground child ignores SIGTERM, and deleting the
// pod would take the whole grace period.
func (w work) command() []string {
	duration := "2147483647"
	if w.runFor > 0 {
		duration = strconv.FormatFloat(w.runFor.Seconds(), 'f', -1, 64)
	}
	return []string{"sh", "-c", fmt.Sprintf("trap 'exit 143' TERM; sleep %s & wait $!; exit %d", duration, w.exitCode)}
}

// annotations returns the work for the simulated kubelet, which runs no containers.
func (w work) annotations() map[string]string {
	return watchtest.Lifecycle{RunFor: w.runFor, ExitCode: int32(w.exitCode)}.Annotations()
}

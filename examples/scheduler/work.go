// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/executorpods/watchsource/examples/scheduler/internal/embedded"
)

// work is what an executor does with its life: it runs for a while and ends
// with an exit code. The zero work goes on until the pod is deleted.
type work struct {
	runFor   time.Duration
	exitCode int
}

// demoWork lets some of the first executors come to an end, so that there is
// something to watch.
func demoWork(executorID int) work {
	switch executorID {
	case 2:
		return work{runFor: 1600 * time.Millisecond, exitCode: 1}
	case 4:
		return work{runFor: 2500 * time.Millisecond, exitCode: 137} // as when the kernel kills it
	case 6:
		return work{runFor: 4200 * time.Millisecond, exitCode: 0}
	default:
		return work{}
	}
}

// command does the work in a real container. It runs in the background because
// a shell that is process 1 and waits for a foreground child ignores SIGTERM,
// and deleting the pod would take its whole grace period.
func (w work) command() []string {
	duration := "2147483647"
	if w.runFor > 0 {
		duration = strconv.FormatFloat(w.runFor.Seconds(), 'f', -1, 64)
	}
	return []string{"sh", "-c", fmt.Sprintf("trap 'exit 143' TERM; sleep %s & wait $!; exit %d", duration, w.exitCode)}
}

// annotations tell the same to a simulated kubelet, which runs no containers.
func (w work) annotations() map[string]string {
	if w.runFor == 0 {
		return nil
	}
	return map[string]string{
		embedded.RunForAnnotation:   w.runFor.String(),
		embedded.ExitCodeAnnotation: strconv.Itoa(w.exitCode),
	}
}
